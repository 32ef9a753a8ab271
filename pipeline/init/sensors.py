"""Looking at sensor files: their layout, channels, ranges and rate, from the files' first rows."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import format_duration
from components.ingest.errors import DataError
from components.ingest.sensor import files as sensor_files
from components.ingest.sensor.preview import first_rows
from components.ingest.sensor.times import parse_times
from components.ingest.sources import SensorSource
from pipeline.init import windows
from pipeline.init.columns import Use
from pipeline.init.facts import Course, course_of, epoch_unit
from pipeline.init.sources import source_name

FILES = 12
"""So many files, evenly taken, show what all hold."""

_ENTITY = re.compile(r"(^|_)(id|machine|asset|device|equipment|unit)$|[a-z](ID|Id)$", re.IGNORECASE)
_TIME = re.compile(r"^(ts|t|time|timestamp|date_?time|at|measured_at|date)$", re.IGNORECASE)
_RECEIVED = re.compile(r"receiv|ingest|arriv|collected", re.IGNORECASE)
_GATEWAY = re.compile(r"gateway|logger|edge|collector", re.IGNORECASE)
_CHANNEL = re.compile(
    r"channel|sensor|tag|metric|signal|variable|parameter|quantity", re.IGNORECASE
)
_MOST_CHANNELS = 64
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
    channels, uses, layout = _channels(name, path, columns, heads, keys)
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


def _channels(
    name: str,
    path: str,
    columns: list[str],
    heads: list[pa.Table],
    keys: Sequence[str | None],
) -> tuple[dict[str, dict[str, Any]], list[Use], dict[str, str]]:
    rest = [column for column in columns if column not in keys]
    numbers = {column: _numbers(heads, column) for column in rest}
    measured = [column for column in rest if len(numbers[column])]
    texts = [column for column in rest if not len(numbers[column])]
    long = next((column for column in texts if _CHANNEL.search(column)), None)
    if long is not None and len(measured) == 1:
        value = measured[0]
        together = pa.concat_tables(
            [
                pa.table({"c": t[long].cast(pa.string()), "v": t[value].cast(pa.float64())})
                for t in heads
                if {long, value} <= set(t.column_names)
            ]
        )
        kinds = together["c"].drop_null().unique().to_pylist()[:_MOST_CHANNELS]
        channels = {
            kind: _channel(
                np.asarray(together.filter(pc.equal(together["c"], kind))["v"].drop_null())
            )
            for kind in sorted(kinds)
        }
        uses = [Use(name, long, "channel", f"{len(kinds)} channels"), Use(name, value, "value", "")]
        uses += [Use(name, c, "", "not read") for c in rest if c not in (long, value)]
        return channels, uses, {"layout": "long", "channel": long, "value": value}
    channels, uses = {}, []
    for column in rest:
        values = numbers[column]
        if not len(values):
            owner = next((c for c in measured if column == f"{c}_unit"), None)
            why = f"unit of {owner}" if owner else "text: channels are numbers"
            uses.append(Use(name, column, "unit" if owner else "", why))
        elif len(channels) == _MOST_CHANNELS:
            uses.append(Use(name, column, "", f"the first {_MOST_CHANNELS} channels are taken"))
        elif values.min() == values.max():
            uses.append(Use(name, column, "", f"constant: always {values[0]:g}"))
        else:
            channels[column] = _channel(values) | _unit(heads, f"{column}_unit")
            low, high = channels[column]["range"]
            uses.append(Use(name, column, "channel", f"valid from {low:g} to {high:g}"))
    if not channels:
        raise DataError(
            name,
            path,
            f"no column holds readings: they are {', '.join(columns)}",
            "Name files with a column of numbers a channel, or a channel and a value column",
        )
    return channels, uses, {}


def _numbers(heads: list[pa.Table], column: str) -> np.ndarray:
    """A column's finite values over all heads; none if it isn't one of numbers."""
    found = []
    for table in heads:
        if column in table.column_names and _is_number(table.schema.field(column).type):
            found.append(np.asarray(table[column].drop_null(), np.float64))
    values = np.concatenate(found) if found else np.zeros(0)
    return values[np.isfinite(values)]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _channel(values: np.ndarray) -> dict[str, Any]:
    """The range of what is usual, three times as wide on either side: broken values lie beyond."""
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 1.0)
    width = 3 * (float(high - low) or max(abs(float(high)), 1.0))
    return {"range": [_two_digits(low - width), _two_digits(high + width)]}


def _two_digits(value: float) -> float:
    rounded = float(f"{value:.2g}")
    return int(rounded) if rounded == int(rounded) else rounded


def _unit(heads: list[pa.Table], column: str) -> dict[str, str]:
    import pint

    found = [t[column].drop_null().to_pylist() for t in heads if column in t.column_names]
    told = [unit for units in found for unit in units]
    if not told:
        return {}
    usual = max(set(told), key=told.count)
    try:
        pint.get_application_registry().Unit(usual)
    except Exception:  # pint raises errors of many kinds for text that is no unit
        return {}
    return {"unit": usual, "unit_column": column}


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
