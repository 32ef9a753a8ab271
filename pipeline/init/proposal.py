"""From judged tables and files to the whole of settings.yaml."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import MICROSECONDS, format_duration, format_instant
from components.ingest.errors import DataError
from components.ingest.sources import SqlSource
from pipeline.init import sensors, windows
from pipeline.init.columns import Use
from pipeline.init.facts import Course
from pipeline.init.judge import Part
from pipeline.init.queries import Writer
from pipeline.init.sources import event_source, source_name, telemetry_source
from pipeline.init.spine import Label, Spine, from_calendar, from_table
from pipeline.settings.blocks import Task, default_metrics

_LIVE = 2 * MICROSECONDS["d"]
_SLICES = 12


@dataclasses.dataclass(frozen=True)
class Choices:
    """What is settled by options, answers or proposals.

    Attributes:
      name: the project's.
      database: its URL, and the time zone of naive times.
      label: what is predicted.
      task: how.
      spine: the table whose rows are the observations; None for a calendar.
      step: time between a calendar's observations, microseconds.
      sensors: paths of sensor files.
    """

    name: str
    database: SqlSource
    label: Label
    task: Task
    spine: Part | None
    step: int
    sensors: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What ``init`` proposes.

    Attributes:
      settings: the content of settings.yaml.
      uses: what becomes of each column.
      live: whether data come up to today.
    """

    settings: dict[str, Any]
    uses: list[Use]
    live: bool


def propose(choices: Choices, parts: Sequence[Part], write: Writer) -> Proposal:
    """Puts settings together.

    Args:
      choices: what is settled.
      parts: the tables that know the entity.
      write: writes SQL.

    Raises:
      DataError: if there is no table to observe, sensor files cannot be used, or nothing tells a
        model anything.
      ValueError: if the data are too short for the horizon.
    """
    horizon, label = choices.label.horizon, choices.label
    parts, apart = _in_time(parts, choices.spine)
    attributes = [part for part in parts if part.role == "attributes"]
    known = [part.entity for part in parts]
    files = [
        sensors.look(path, known, horizon, choices.database.timezone) for path in choices.sensors
    ]
    rates = [part.runs.begin for part in parts if part.role == "telemetry"]
    rates += [runs.begin for _, _, _, runs in files]
    if choices.spine is not None:
        spine = from_table(choices.spine, attributes, label, write)
    else:
        spine = _calendar(choices, parts, attributes, rates, write)
    sources: dict[str, Any] = {"observations": _with_database(spine.block, choices.database)}
    uses = [*spine.uses, *apart]
    for part in parts:
        if part.role == "attributes" or part is choices.spine:
            continue
        if part.role == "events":
            block, told = event_source(part, write, horizon, part is label.events)
        else:
            block, told = telemetry_source(part, write, horizon)
            if not block["windows"][0]["aggregate"]:
                block, told = event_source(part, write, horizon, part is label.events)
        if choices.database.timezone != "UTC":
            block["timezone"] = choices.database.timezone
        sources[source_name(part.table.name, sources)] = block
        uses += told
    for name, block, told, _ in files:
        uses += told if _is_new(sources, name, block) else []
    joined = [f"{name}_*" for name in sources if name != "observations"]
    if not (spine.numeric or spine.categorical or joined):
        raise DataError(
            "init",
            f"table {choices.spine.table.name if choices.spine else ''!r}",
            "no column is left that could tell a model anything",
            "Add tables or sensor files (--sensor), or give a query by --query",
        )
    begin = max([spine.course.begin, *rates])
    end, live = _end(spine.course, label)
    settings: dict[str, Any] = {
        "project": {"name": choices.name},
        "as_of": "now" if live else format_instant(end),
        "spine": "observations",
        "sources": sources,
        "label": {"name": label.name, "task": choices.task, "horizon": format_duration(horizon)},
        "split": windows.split(end - begin, horizon),
        "features": {
            "numeric": [*spine.numeric, *joined],
            **({"categorical": spine.categorical} if spine.categorical else {}),
        },
        "training": {"strategy": "auto", "epochs": 10, "batch_size": 256},
        "evaluation": {"metrics": _metrics(choices), "slices": _slices(parts, spine)},
        "serving": {"model": choices.name, "keep_versions": 5},
    }
    return Proposal(settings, uses, live)


def _in_time(parts: Sequence[Part], spine: Part | None) -> tuple[list[Part], list[Use]]:
    """Parts the tables from those whose rows all lie before or after the spine's."""
    kept, apart = [], []
    for part in parts:
        if (
            spine is None
            or part.course is None
            or (part.runs.begin < spine.runs.end and part.runs.end > spine.runs.begin)
        ):
            kept.append(part)
        else:
            apart.append(Use(part.table.name, "(all)", "", "no row in the observations' time"))
    return kept, apart


def _calendar(
    choices: Choices,
    parts: Sequence[Part],
    attributes: Sequence[Part],
    rates: Sequence[int],
    write: Writer,
) -> Spine:
    timed = [part for part in parts if part.course is not None]
    if not timed:
        raise DataError("init", "tables", "none holds times", "Name another database or --query")
    telemetry = [part for part in timed if part.role == "telemetry"]
    clock = max(telemetry or timed, key=lambda part: part.runs.end)
    # Observations begin where readings do: before that there is little to learn from.
    begin = max(rates) if rates else min(part.runs.begin for part in timed)
    clock = dataclasses.replace(clock, course=dataclasses.replace(clock.runs, begin=begin))
    owner = attributes[0] if attributes else max(timed, key=lambda part: part.runs.entities)
    return from_calendar(owner, clock, attributes, choices.label, choices.step, write)


def _with_database(block: dict[str, Any], database: SqlSource) -> dict[str, Any]:
    place = {"url_env": database.url_env, "url": database.url}
    zone = {} if database.timezone == "UTC" else {"timezone": database.timezone}
    told = {key: value for key, value in place.items() if value is not None}
    return {"kind": "sql", **told, **block, **zone}


def _is_new(sources: dict[str, Any], name: str, block: dict[str, Any]) -> bool:
    """Adds sensor files, to a source of the same shape where there is one: formats may differ."""
    for other in sources.values():
        same = other["kind"] == "sensor" and all(
            other.get(key) == block.get(key) for key in ("layout", "entity", "gateway", "time")
        )
        if same and set(other["channels"]) == set(block["channels"]):
            paths = other["path"] if isinstance(other["path"], list) else [other["path"]]
            other["path"] = [*paths, block["path"]]
            for channel, more in block["channels"].items():
                bounds = other["channels"][channel]["range"], more["range"]
                low, high = zip(*bounds, strict=True)
                other["channels"][channel]["range"] = [min(low), max(high)]
            return False
    sources[source_name(name, sources)] = block
    return True


def _metrics(choices: Choices) -> dict[str, dict[str, float]]:
    """The task's metrics; a regression must at least beat the answer that is always the mean."""
    metrics = default_metrics(choices.task)
    if choices.task == "regression" and choices.spine is not None:
        label = choices.spine.table.columns[choices.label.name]
        deviation = pc.stddev(label.known.cast(pa.float64())).as_py()
        metrics["root_mean_squared_error"] = {"max": float(f"{deviation:.3g}")}
    return metrics


def _end(course: Course, label: Label) -> tuple[int, bool]:
    """The instant at which a run may stand, and whether data come up to today."""
    now = datetime.datetime.now(datetime.timezone.utc).timestamp() * MICROSECONDS["s"]
    second = MICROSECONDS["s"]
    end = (course.end // second + 1) * second
    # A label that was read looks back from its row: a horizon later all of them are settled.
    return end, course.end + max(_LIVE, 3 * course.interval, label.horizon) >= now


def _slices(parts: Sequence[Part], spine: Spine) -> list[list[str]]:
    counts = {
        column.name: column.distinct for part in parts for column in part.table.columns.values()
    }
    return [[name] for name in spine.categorical if counts.get(name, 99) <= _SLICES][:1]
