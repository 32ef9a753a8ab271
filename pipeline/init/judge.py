"""Judging tables: what their rows are about, when they happened, what part each table plays."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import pyarrow.compute as pc

from components.ingest.durations import MICROSECONDS
from pipeline.init.facts import Column, Course, Table

Role = Literal["observations", "telemetry", "events", "attributes"]

_ID_NAME = re.compile(
    r"(^|_)(id|nr|no|number|key|serial|uuid|machine|asset|device|equipment|vehicle|customer|site|"
    r"station|pump|engine|turbine|store|sensor|user|account|patient|plant|line)$|[a-z](ID|Id|Nr|No)$",
    re.IGNORECASE,
)
_KNOWN_NAME = re.compile(
    r"recorded|received|known|entered|created|inserted|ingested|reported|logged|loaded|updated|"
    r"closed|ended|ends|finished|completed|resolved|(^|_)end($|_)",
    re.IGNORECASE,
)
_AHEAD_NAME = re.compile(
    r"horizon|due|planned|expected|next|until|valid_to|deadline", re.IGNORECASE
)
_TELEMETRY_NAME = re.compile(r"telemetr|sensor|reading|measure|signal|scada|histor", re.IGNORECASE)
_OBSERVED_NAME = re.compile(
    r"observ|snapshot|sample|inspect|daily|hourly|batch|cycle", re.IGNORECASE
)
_OFTEN = 2 * MICROSECONDS["h"]


@dataclasses.dataclass(frozen=True)
class Times:
    """A table's times.

    Attributes:
      time: the column that says when.
      known_at: the column that says from when the row is known, or None.
      ahead: columns of times that may lie later than the row.
    """

    time: str
    known_at: str | None = None
    ahead: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Part:
    """A table and the part it plays.

    Attributes:
      table: the table.
      role: its part.
      entity: its column with the entity.
      times: its times; None for attributes.
      course: how its rows run on in time; None for attributes.
    """

    table: Table
    role: Role
    entity: str
    times: Times | None = None
    course: Course | None = None

    @property
    def time(self) -> Column:
        """The column that says when."""
        assert self.times is not None
        return self.table.columns[self.times.time]

    @property
    def runs(self) -> Course:
        """How its rows run on in time."""
        assert self.course is not None
        return self.course


def times_of(table: Table, wanted: str | None = None) -> Times | None:
    """Which of a table's times says when a row happened.

    The first one that is always there, by the table's order, unless its name looks ahead or tells
    when the row was entered. A later one that names an entry or an end, and is never before it, is
    when the row was known.

    Args:
      table: the table.
      wanted: the time column, where it is told.
    """
    times = [c for c in table.columns.values() if c.kind == "time" and len(c.known)]
    if not times:
        return None

    def rank(column: Column) -> tuple[bool, bool, bool, bool]:
        return (
            column.name != wanted,
            bool(_AHEAD_NAME.search(column.name)),
            bool(_KNOWN_NAME.search(column.name)),
            column.missing > 0 and column.name not in table.key,
        )

    time = min(times, key=rank)
    later = [c for c in times if c is not time and _never_before(c, time)]
    known = next(
        (c for c in later if _KNOWN_NAME.search(c.name) and not _AHEAD_NAME.search(c.name)), None
    )
    ahead = tuple(c.name for c in times if c is not time and c is not known)
    return Times(time.name, known.name if known else None, ahead)


def entities(tables: Sequence[Table]) -> list[dict[str, str]]:
    """What the rows may be about, the likeliest first.

    Columns of several tables are one entity if they have one name, a foreign key joins them, or
    one is ``machines.id`` and the other ``machine_id``.

    Returns:
      By table the entity's column.
    """
    by_name = {table.name: table for table in tables}
    found: dict[str, dict[str, str]] = {}
    for table in tables:
        for column in table.columns.values():
            if column.kind in ("int", "text") and column.distinct:
                found.setdefault(_concept(table, column, by_name), {}).setdefault(
                    table.name, column.name
                )
    scored = [(_entity_score(columns, by_name), columns) for columns in found.values()]
    likely = sorted((s for s in scored if s[0] > 0), key=lambda s: -s[0])
    if not likely:
        # Each row is about something of its own, such as a batch.
        return [c for c in found.values() if any(by_name[t].key == (n,) for t, n in c.items())]
    return [columns for score, columns in likely if score >= 0.6 * likely[0][0]]


def named_entity(tables: Sequence[Table], name: str) -> dict[str, str]:
    """By table its column of the entity that is called so; empty where no table has it."""
    plain = _plain(name)
    for columns in entities(tables):
        if plain in map(_plain, columns.values()):
            return columns
    return {
        table.name: column
        for table in tables
        for column in table.columns
        if _plain(column) == plain
    }


def role_of(table: Table, course: Course) -> Role:
    """The part that a table with several rows an entity plays.

    Args:
      table: the table.
      course: how its rows run on in time.
    """
    if _OBSERVED_NAME.search(table.name):
        return "observations"
    named = _TELEMETRY_NAME.search(table.name)
    often = course.regular and 0 < course.interval < _OFTEN
    if (named or often) and any(c.kind == "float" for c in table.columns.values()):
        return "telemetry"
    return "observations" if course.regular else "events"


def _never_before(one: Column, other: Column) -> bool:
    return pc.all(pc.greater_equal(one.values, other.values)).as_py() is not False


def _entity_score(columns: Mapping[str, str], tables: Mapping[str, Table]) -> float:
    score = 0.0
    repeats = False
    for name, column_name in columns.items():
        table, column = tables[name], tables[name].columns[column_name]
        timed = any(c.kind == "time" for c in table.columns.values())
        if column.unique:
            score += 0.5
        elif timed:
            score += 2.0
            repeats = repeats or column.distinct <= 0.5 * len(column.values)
        if column.missing:
            score -= 1.0
    named = any(_ID_NAME.search(name) for name in columns.values())
    first = any(next(iter(tables[t].columns)) == name for t, name in columns.items())
    return score + 2.0 * named + 0.5 * first if repeats and (named or len(columns) > 1) else 0.0


def _concept(table: Table, column: Column, tables: Mapping[str, Table]) -> str:
    if column.refers is not None and column.refers[0] in tables:
        other = tables[column.refers[0]]
        target = other.columns.get(column.refers[1])
        if target is not None and target is not column:
            return _concept(other, dataclasses.replace(target, refers=None), tables)
    plain = _plain(column.name)
    return _plain(table.name).removesuffix("s") + "id" if plain == "id" else plain


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
