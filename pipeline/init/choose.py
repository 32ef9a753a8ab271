"""From looked-at tables and options, or answers, to what is settled."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from components.ingest.durations import MICROSECONDS, format_duration
from components.ingest.errors import DataError
from components.ingest.sources import SqlSource
from pipeline.init import database, judge, labels, windows
from pipeline.init.facts import Table
from pipeline.init.judge import Part
from pipeline.init.labels import Candidate
from pipeline.init.questions import Questions
from pipeline.init.spine import Label
from pipeline.settings.blocks import Task


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line tells; None where it is asked or proposed."""

    table: str | None = None
    query: str | None = None
    entity: str | None = None
    time: str | None = None
    label: str | None = None
    label_events: str | None = None
    task: Task | None = None
    horizon: int | None = None
    every: int | None = None


def parts(
    source: SqlSource,
    tables: Sequence[Table],
    others: dict[str, str],
    options: Options,
    questions: Questions,
) -> list[Part]:
    """Finds the entity and the part that each table plays.

    Args:
      source: the database.
      tables: what was looked at.
      others: takes in the tables that have no part, with the reason.
      options: what is told.
      questions: asks for the entity where several are likely.

    Raises:
      DataError: if no column is the entity, or no table holds times.
    """
    columns = _entity(tables, options, questions)
    lone = all(t.columns[columns[t.name]].unique for t in tables if t.name in columns)
    found = []
    for table in tables:
        entity = columns.get(table.name)
        if entity is None:
            others[table.name] = _unjoined(table, columns, tables)
            continue
        times = judge.times_of(table, options.time)
        told = table.name in (options.table, "query")
        repeats = not table.columns[entity].unique
        if times is not None and (repeats or told or lone):
            course = database.course(source, table, entity, times.time)
            role = "observations" if told or lone else judge.role_of(table, course)
            if role != "events" and _read_by(options.query, table.name):
                # Its row of the observation's own time may be what the label was made of.
                others[table.name] = "the query reads it"
                continue
            found.append(Part(table, role, entity, times, course))
        elif repeats:
            others[table.name] = f"several rows of one {entity}, and no time that tells when"
        elif _read_by(options.query, table.name):
            others[table.name] = "the query reads it"
        else:
            found.append(Part(table, "attributes", entity))
    if options.time and not any(p.times and p.times.time == options.time for p in found):
        times_there = [c.name for t in tables for c in t.columns.values() if c.kind == "time"]
        _no_such("--time", options.time, times_there)
    if not any(part.course for part in found):
        raise DataError(
            "init",
            "tables",
            "no table of the entity has a column of times",
            "Times are timestamps, dates, ISO 8601 text, or seconds since 1970; name the column by "
            "--time, or cast it in a query of your own: --query",
        )
    return found


def label(
    source: SqlSource,
    found: Sequence[Part],
    options: Options,
    questions: Questions,
    tell: Callable[[str], None],
) -> tuple[Label, Task, Part | None]:
    """Settles what is predicted, and whose rows are the observations.

    Returns:
      The label, its task, and the spine's table; None where a calendar is the spine.

    Raises:
      DataError: if an option names nothing, or nothing can be predicted.
    """
    chosen = _candidate(found, options, questions, tell)
    if chosen.column is not None:
        column = chosen.part.table.columns[chosen.column]
        task = labels.task_of(
            column, database.classes(source, chosen.part.table, column.name, labels.CLASSES)
        )
        if task is None:
            raise DataError(
                "init",
                f"label {chosen.part.table.name}.{column.name}",
                f"it is {column.kind or column.declared} with "
                f"{'one value' if column.distinct < 2 else 'too many values'}, which no task fits",
                "Name another column by --label, or make it in a query: --query",
            )
        if options.task is not None:
            task = _fitting(options.task, task, column.name)
        else:
            task = questions.among(
                "Task",
                [task, *(t for t in ("binary", "multiclass", "regression") if t != task)],
                "--task",
            )  # type: ignore[assignment]
        horizon = options.horizon
        if horizon is None:
            told = labels.horizon_in(column.name)
            horizon = questions.duration(
                "How far does the label look ahead (0s: known at once)", told
            )
        return Label(column.name, column.name, None, horizon), task, chosen.part
    if options.task not in (None, "binary"):
        raise DataError(
            "init",
            "--task",
            "whether an event comes is a binary question",
            "Leave --task out, or name a column by --label",
            options.task,
        )
    spine = _spine(found, chosen, options, questions)
    horizon = options.horizon
    if horizon is None:
        interval = spine.runs.interval if spine else 0
        proposal = windows.round_up(max(MICROSECONDS["h"] * 24, 2 * interval))
        horizon = questions.duration("Within what time should the event come", proposal)
    if horizon <= 0:
        raise DataError("init", "--horizon", "expected more than 0s", "Say 24h or so", "0s")
    plain = re.sub(r"\W+", "_", chosen.part.table.name).lower()
    return (
        Label(f"{plain}_within_{format_duration(horizon)}", None, chosen.part, horizon),
        "binary",
        spine,
    )


def step(found: Sequence[Part], horizon: int, options: Options, questions: Questions) -> int:
    """How often a calendar observes an entity, microseconds."""
    if options.every is not None:
        return options.every
    intervals = [p.runs.interval for p in found if p.role == "telemetry"]
    proposal = windows.calendar_step(horizon, min(intervals, default=0))
    return questions.duration("Observe each entity every", proposal)


def _entity(tables: Sequence[Table], options: Options, questions: Questions) -> dict[str, str]:
    if options.entity is not None:
        columns = judge.named_entity(tables, options.entity)
        if not columns:
            _no_such("--entity", options.entity, [c for t in tables for c in t.columns])
        return columns
    found = judge.entities(tables)
    if not found:
        raise DataError(
            "init",
            "tables",
            "no column tells which machine, customer or site a row is about",
            "Name it by --entity COLUMN; where all rows are about one thing, give a query that "
            'says so: --query "SELECT 1 AS plant, … FROM …" --entity plant',
        )
    names = [next(iter(columns.values())) for columns in found]
    names = list(dict.fromkeys(names))
    name = (
        names[0]
        if len(names) == 1
        else questions.among(
            "Which column is the entity: the machine, customer or site that rows are about",
            names,
            "--entity",
        )
    )
    return next((c for c in found if name in c.values()), None) or judge.named_entity(tables, name)


def _read_by(query: str | None, table: str) -> bool:
    return query is not None and bool(re.search(rf"\b{re.escape(table)}\b", query, re.IGNORECASE))


def _unjoined(table: Table, columns: dict[str, str], tables: Sequence[Table]) -> str:
    entity = next(iter(columns.values()))
    for other in tables:
        shared = set(other.columns) & set(table.columns)
        if other.name in columns and (ways := sorted(shared - set(columns.values()))):
            why = f"no column {entity}; {other.name} shares {', '.join(ways[:3])} with it, so that"
            return f"{why} a query of your own can join it"
    return f"no column {entity}"


def _candidate(
    found: Sequence[Part], options: Options, questions: Questions, tell: Callable[[str], None]
) -> Candidate:
    by_name = {part.table.name: part for part in found}
    if options.table is not None and options.table not in by_name:
        _no_such("--table", options.table, list(by_name))
    if options.label_events is not None:
        part = by_name.get(options.label_events)
        if part is None or part.course is None:
            _no_such(
                "--label-events", options.label_events, [p.table.name for p in found if p.course]
            )
        return Candidate(part, None, 9.0)
    timed = [p for p in found if p.course is not None]
    wanted = "query" if options.query else options.table
    if options.label is not None:
        having = [p for p in timed if options.label in p.table.columns]
        having = [p for p in having if wanted in (None, p.table.name)]
        if not having:
            _no_such("--label", options.label, [c for p in timed for c in p.table.columns])
        return Candidate(having[0], options.label, 9.0)
    candidates = labels.candidates(found)
    if wanted is not None:
        candidates = [c for c in candidates if c.column is None or c.part.table.name == wanted]
    if not candidates:
        raise DataError(
            "init",
            "label",
            "no column and no table of events could be predicted",
            "Name a column by --label, or give a query with one: --query",
        )
    return questions.candidate(candidates, tell)


def _spine(
    found: Sequence[Part], chosen: Candidate, options: Options, questions: Questions
) -> Part | None:
    by_name = {part.table.name: part for part in found}
    if options.query:
        return by_name["query"]
    if options.table is not None:
        return by_name[options.table]
    if options.every is not None:
        return None
    observed = [p for p in found if p.role == "observations" and p is not chosen.part]
    names = [*(p.table.name for p in observed), "calendar"]
    name = (
        names[0]
        if len(names) == 1
        else questions.among(
            "Observations: the rows of which table, or a calendar", names, "--table or --every"
        )
    )
    return by_name.get(name)


def _fitting(task: Task, judged: Task, column: str) -> Task:
    if task == "binary" and judged != "binary":
        raise DataError(
            "init",
            "--task",
            f"label {column!r} is not 0 and 1 only",
            f"Say --task {judged}, or make 0 and 1 in a query: --query",
            task,
        )
    return task


def _no_such(option: str, value: str, names: Sequence[str]) -> NoReturn:
    from pipeline.settings.features import near

    there = list(dict.fromkeys(names))
    shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
    raise DataError(
        "init",
        option,
        f"there is none of this name{near(value, there)}",
        f"There are {shown}",
        value,
    )
