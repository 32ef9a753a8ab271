"""The spine's query: one row an entity and a time, with its attributes and the label."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from components.ingest.durations import MICROSECONDS, format_duration
from components.ingest.errors import DataError
from pipeline.init import columns
from pipeline.init.columns import Use
from pipeline.init.facts import Course
from pipeline.init.judge import Part
from pipeline.init.queries import Writer
from pipeline.init.sources import time_settings

LARGE = 100_000
"""A spine of more rows is read in parts, side by side."""


@dataclasses.dataclass(frozen=True)
class Label:
    """What is predicted.

    Attributes:
      name: its column in the spine.
      column: the spine's own column; None where it is derived from events.
      events: the table of events that it is derived from, or None.
      horizon: how far it looks ahead, microseconds.
    """

    name: str
    column: str | None
    events: Part | None
    horizon: int


@dataclasses.dataclass(frozen=True)
class Spine:
    """The spine's source.

    Attributes:
      block: its settings.
      uses: what becomes of the columns of the tables in it.
      numeric: its numeric features.
      categorical: its categorical features.
      course: how its rows run on in time.
    """

    block: dict[str, Any]
    uses: list[Use]
    numeric: list[str]
    categorical: list[str]
    course: Course


@dataclasses.dataclass
class _Selected:
    """Columns on their way into the SELECT."""

    write: Writer
    lines: list[str] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=list)
    types: dict[str, str] = dataclasses.field(default_factory=dict)
    uses: list[Use] = dataclasses.field(default_factory=list)
    kinds: dict[str, list[str]] = dataclasses.field(
        default_factory=lambda: {"numeric": [], "categorical": []}
    )

    def take(self, part: Part, alias: str, but: Sequence[str], leaks: dict[str, str]) -> None:
        for column in part.table.columns.values():
            if column.name in but:
                continue
            use, why = columns.feature(part.table, column)
            if column.name in leaks:
                use, why = "", leaks[column.name]
            self.uses.append(Use(part.table.name, column.name, use, why))
            if not use:
                continue
            name = (
                column.name if column.name not in self.names else f"{part.table.name}_{column.name}"
            )
            renamed = "" if name == column.name else f" AS {self.write.quote(name)}"
            self.lines.append(self.write.of(alias, column.name) + renamed)
            self.names.append(name)
            self.kinds[use].append(name)
            if self.write.dialect == "sqlite" and column.kind in ("bool", "float"):
                self.types[name] = column.kind


def from_table(part: Part, attributes: Sequence[Part], label: Label, write: Writer) -> Spine:
    """A spine of a table's own rows.

    Args:
      part: the table.
      attributes: tables with one row an entity, joined by it.
      label: what is predicted.
      write: writes SQL.

    Raises:
      DataError: if no column is left to be a feature and the label cannot be written.
    """
    assert part.times is not None
    table, time = part.table, part.time
    selected = _Selected(write, uses=[Use(table.name, part.entity, "entity", "")])
    selected.uses.append(Use(table.name, time.name, "time", ""))
    own = [part.entity, time.name, *([label.column] if label.column else [])]
    selected.names += own
    leaks = {
        name: columns.ahead(time, table.columns[name])
        for name in (*part.times.ahead, *([part.times.known_at] if part.times.known_at else []))
    }
    if label.column:
        target = table.columns[label.column]
        selected.uses.append(Use(table.name, label.column, "label", ""))
        for name, column in table.columns.items():
            if name not in own and (why := columns.leak(target, column)):
                leaks[name] = why
        if target.kind == "bool" and write.dialect == "sqlite":
            selected.types[target.name] = "bool"
    selected.take(part, "s", own, leaks)
    keys = ", ".join(write.of("s", name) for name in own)
    where = [write.within("s", time)]
    if label.column and table.columns[label.column].missing:
        where.append(f"{write.of('s', label.column)} IS NOT NULL")
    source = table.source
    block = _finish(selected, keys, f"{source} AS s", part, attributes, label, where)
    if table.rows > LARGE and table.columns[part.entity].kind == "int":
        block["partitions"] = {"column": part.entity, "count": 4}
    return Spine(
        block, selected.uses, selected.kinds["numeric"], selected.kinds["categorical"], part.runs
    )


def from_calendar(
    owner: Part,
    clock: Part,
    attributes: Sequence[Part],
    label: Label,
    step: int,
    write: Writer,
) -> Spine:
    """A spine of one row an entity and every ``step``.

    Args:
      owner: the table whose entities are observed.
      clock: the table whose last time ends the calendar.
      attributes: tables with one row an entity, joined by it; ``owner`` may be among them.
      label: what is predicted, derived from events.
      step: between two observations, microseconds.
      write: writes SQL.

    Raises:
      DataError: if it is not known how the database counts, or the clock's times are numbers.
    """
    if clock.time.unit is not None or (label.events and label.events.time.unit is not None):
        raise DataError(
            "init",
            f"table {clock.table.name!r}, column {clock.time.name!r}",
            "times are numbers, and a calendar is made of timestamps",
            "Give the spine's query by --query, or a table with a label by --table and --label",
        )
    begin = clock.runs.begin // MICROSECONDS["d"] * MICROSECONDS["d"]
    if begin < clock.runs.begin:
        begin += -(-(clock.runs.begin - begin) // step) * step
    last = f"SELECT MAX({write.moment('', clock.time)}) FROM {clock.table.source}"
    ticks = write.calendar(begin, step, last).replace("\n", "\n    ")
    entity = write.quote(owner.entity)
    selected = _Selected(write, names=[owner.entity, "observed_at"])
    selected.uses.append(Use("(calendar)", "observed_at", "time", f"every {format_duration(step)}"))
    rows = (
        f"(SELECT e.{entity}, t.observed_at FROM\n"
        f"    (SELECT DISTINCT {entity} FROM {owner.table.source}) AS e\n"
        f"    CROSS JOIN (\n    {ticks}\n    ) AS t) AS s"
    )
    keys = f"s.{entity}, s.observed_at"
    block = _finish(selected, keys, rows, owner, attributes, label, [], "s.observed_at")
    block["time"] = "observed_at"
    block.pop("time_unit", None)
    entities = owner.table.columns[owner.entity].distinct
    course = Course(begin, clock.runs.end, entities, step, True)
    return Spine(
        block, selected.uses, selected.kinds["numeric"], selected.kinds["categorical"], course
    )


def _finish(
    selected: _Selected,
    keys: str,
    rows: str,
    part: Part,
    attributes: Sequence[Part],
    label: Label,
    where: list[str],
    moment: str | None = None,
) -> dict[str, Any]:
    """Joins attributes, adds a derived label, and makes the source's settings."""
    write = selected.write
    joins = []
    for number, other in enumerate(attributes):
        alias = f"a{number + 1}" if len(attributes) > 1 else "a"
        selected.uses.append(Use(other.table.name, other.entity, "entity", "joined by it"))
        selected.take(other, alias, [other.entity], {})
        on = f"{write.of(alias, other.entity)} = {write.of('s', part.entity)}"
        joins.append(f"\nLEFT JOIN {other.table.source} AS {alias} ON {on}")
    if label.events is not None:
        selected.lines.append(_happens(label, part, write, moment))
    lines = ",\n  ".join([keys, *selected.lines])
    condition = f"\nWHERE {' AND '.join(where)}" if where else ""
    block: dict[str, Any] = {
        "kind": "sql",
        "query": f"SELECT\n  {lines}\nFROM {rows}{''.join(joins)}{condition}\n",
        "entity": part.entity,
        "time": part.times.time if part.times else "",
    }
    if part.times is not None:
        block |= time_settings(part.time)
    if selected.types:
        block["types"] = selected.types
    return block


def _happens(label: Label, part: Part, write: Writer, moment: str | None) -> str:
    events = label.events
    assert events is not None
    unit = events.time.unit
    now = moment or write.moment("s", part.time)
    at = write.moment("f", events.time)
    return (
        "CASE WHEN EXISTS (\n"
        f"    SELECT 1 FROM {events.table.source} AS f\n"
        f"    WHERE {write.of('f', events.entity)} = {write.of('s', part.entity)}\n"
        f"      AND {at} > {now}\n      AND {at} <= {write.later(now, label.horizon, unit)}\n"
        f"  ) THEN 1 ELSE 0 END AS {write.quote(label.name)}"
    )
