"""Looking at sensor files: their layout, channels, ranges and rate, from the files' first rows."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.ingest.durations import format_duration
from components.ingest.errors import DataError
from components.ingest.sensor import files as sensor_files
from components.ingest.sensor.preview import first_rows
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.times import parse_times
from pipeline.init import windows
from pipeline.init.channels import channels_of
from pipeline.init.columns import Use
from pipeline.init.facts import Course, course_of, epoch_unit
from pipeline.init.sources import source_name

FILES = 12
"""So many files, evenly taken, show what all hold."""

_ENTITY = re.compile(r"(^|_)(id|machine|asset|device|equipment|unit)$|[a-z](ID|Id)$", re.IGNORECASE)
_TIME = re.compile(r"^(ts|t|time|timestamp|date_?time|at|measured_at|date)$", re.IGNORECASE)
_RECEIVED = re.compile(r"receiv|ingest|arriv|collected", re.IGNORECASE)
_GATEWAY = re.compile(r"gateway|logger|edge|collector", re.IGNORECASE)
# Finding a source's files needs the whole of its settings; the path alone counts.
_STAND_IN: dict[str, Any] = {
    "kind": "sensor",
    "entity": "-",
    "time": {"column": "-"},
    "channels": {"-": {}},
    "windows": [{"size": "1h", "aggregate": ["mean"]}],
}


def look(
    path: str, entities: Sequence[str], horizon: int, timezone: str
) -> tuple[str, dict[str, Any], list[Use], Course]:
    """Proposes a source for sensor files.

    Args:
      path: a file, a folder or a glob.
      entities: what the entity is called in the database.
      horizon: how far the label looks ahead, microseconds.
      timezone: where times without a zone are read.

    Returns:
      Its name, its settings, what becomes of each column, and how its readings run on.

    Raises:
      DataError: if there is no file, or no entity, time or channel in them.
    """
    if Path(path).is_dir():
        path = f"{path.rstrip('/')}/**/*.*"
    name = _name(path)
    stand_in = SensorSource.model_validate(_STAND_IN | {"path": path})
    parts = sensor_files.whole_files(name, stand_in)
    chosen = parts[:: -(-len(parts) // FILES)]
    heads = [table for part in chosen if len(table := first_rows(name, part, "")[0])]
    if not heads:
        raise DataError(name, path, "the files hold no rows", "Name other files")
    columns = list(dict.fromkeys(column for table in heads for column in table.column_names))
    entity = _entity(name, path, columns, entities)
    time, unit = _time(name, path, columns, heads, timezone)
    received = next((c for c in columns if c != time and _RECEIVED.search(c)), None)
    gateway = next((c for c in columns if c != entity and _GATEWAY.search(c)), None)
    keys = [entity, time, received, gateway]
    channels, uses, layout = channels_of(name, path, columns, heads, keys)
    runs = _course(heads, entity, time, unit, timezone)
    interval = windows.nearest(runs.interval) if runs.interval else 0
    sizes = windows.sensor_sizes(interval, horizon)
    told = {"column": time} | ({"unit": unit} if unit else {})
    told |= {"timezone": timezone} if timezone != "UTC" else {}
    told |= {"received_at": received} if received else {}
    block: dict[str, Any] = {"kind": "sensor", "path": path, **layout, "entity": entity}
    if gateway:
        block["gateway"] = gateway
    block["time"] = told
    if interval:
        block["interval"] = format_duration(interval)
    block["channels"] = channels
    short = ["mean", "std", "min", "max", "last", *(["missing"] if interval else [])]
    every = format_duration(sizes.every)
    block["windows"] = [
        {"size": format_duration(sizes.short), "every": every, "aggregate": short},
        {
            "size": format_duration(sizes.long),
            "every": every,
            "aggregate": ["mean", "std", "slope"],
        },
    ]
    if interval:
        block["max_gap"] = format_duration(windows.round_up(5 * interval))
    parts_told = {entity: "entity", time: "time", received: "received at", gateway: "gateway"}
    keyed = [Use(name, column, use, "") for column, use in parts_told.items() if column]
    return name, block, [*keyed, *uses], runs


def _name(path: str) -> str:
    literal = [part for part in Path(path).parts if not re.search(r"[*?\[]", part)]
    stem = Path(literal[-1]).name.split(".")[0] if literal else "sensors"
    return source_name(stem or "sensors")


def _entity(name: str, path: str, columns: list[str], entities: Sequence[str]) -> str:
    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    wanted = {plain(entity) for entity in entities}
    same = [column for column in columns if plain(column) in wanted]
    named = [column for column in columns if _ENTITY.search(column)]
    if not same and not named:
        raise DataError(
            name,
            path,
            f"no column is the entity: they are {', '.join(columns)}",
            f"Name it in the files as in the database ({', '.join(dict.fromkeys(entities))})",
        )
    return (same or named)[0]


def _time(
    name: str, path: str, columns: list[str], heads: list[pa.Table], timezone: str
) -> tuple[str, str | None]:
    named = sorted(columns, key=lambda c: (not _TIME.search(c), bool(_RECEIVED.search(c))))
    for column in named:
        values = next(t[column] for t in heads if column in t.column_names).combine_chunks()
        kind, unit = values.type, None
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            unit = epoch_unit(column, values.drop_null())
            if unit is None:
                continue
        elif not (
            pa.types.is_string(kind) or pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        ):
            continue
        read = parse_times(values, unit, timezone)
        if read.bad is None or np.mean(read.bad) < 0.5:
            return column, unit
    raise DataError(
        name,
        path,
        f"no column holds times: they are {', '.join(columns)}",
        "Write times as ISO 8601, or as seconds or milliseconds since 1970 in a column named ts",
    )


def _course(
    heads: list[pa.Table], entity: str, time: str, unit: str | None, timezone: str
) -> Course:
    """The rate of the file whose most frequent entity shows most readings."""
    begins, ends, entities, best = [], [], set(), np.zeros(0, np.int64)
    for table in heads:
        if not {entity, time} <= set(table.column_names):
            continue
        read = parse_times(table[time].combine_chunks(), unit, timezone)
        good = np.ones(len(table), bool)
        for mask in (read.missing, read.bad):
            good &= True if mask is None else ~mask
        instants = read.instants
        owners = np.asarray(table[entity].cast(pa.string()).fill_null(""))
        if not good.any():
            continue
        begins.append(int(instants[good].min()))
        ends.append(int(instants[good].max()))
        names, counts = np.unique(owners[good], return_counts=True)
        entities.update(names)
        one = np.sort(instants[good & (owners == names[counts.argmax()])])
        best = one if len(one) > len(best) else best
    return course_of(min(begins, default=0), max(ends, default=0), len(entities), pa.array(best))
