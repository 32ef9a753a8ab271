"""What is predicted, and whose rows are the observations: by options, answers or proposals."""

import re
from collections.abc import Callable, Sequence

from components.ingest.durations import MICROSECONDS, format_duration
from components.ingest.errors import DataError
from components.ingest.sources import SqlSource
from pipeline.init import database, labels, windows
from pipeline.init.judge import Part
from pipeline.init.labels import Candidate
from pipeline.init.options import Options, no_such
from pipeline.init.questions import Questions
from pipeline.init.spine import Label
from pipeline.settings.blocks import Task


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


def _candidate(
    found: Sequence[Part], options: Options, questions: Questions, tell: Callable[[str], None]
) -> Candidate:
    by_name = {part.table.name: part for part in found}
    if options.table is not None and options.table not in by_name:
        no_such("--table", options.table, list(by_name))
    if options.label_events is not None:
        part = by_name.get(options.label_events)
        if part is None or part.course is None:
            no_such(
                "--label-events", options.label_events, [p.table.name for p in found if p.course]
            )
        return Candidate(part, None, 9.0)
    timed = [p for p in found if p.course is not None]
    wanted = "query" if options.query else options.table
    if options.label is not None:
        having = [p for p in timed if options.label in p.table.columns]
        having = [p for p in having if wanted in (None, p.table.name)]
        if not having:
            no_such("--label", options.label, [c for p in timed for c in p.table.columns])
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
    text = "Observations: the rows of which table, or a calendar"
    name = questions.among(text, names, "--table or --every")
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
