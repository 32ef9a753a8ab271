"""Sensor windows on a fixed grid: which there are, what they tell, when they were known.

Window ends lie at multiples of ``every`` since the epoch. An entity has a row at each end from its
first reading until its last one has left the largest window and can't be repeated any more. Windows
of the same step share a row, and a table (a split of the Examples) named ``every_1h``.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingest.durations import format_duration
from components.ingest.sensor.plan import Plan
from components.ingest.sensor.series import Series
from components.ingest.sensor.source import SensorSource, SensorWindow
from components.ingest.windows import aggregate_windows, window_ranges

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

REPEATED = ("mean", "min", "max", "first", "last")
"""What a window without a reading takes from the last reading before it, if ``fill`` allows."""


def window_splits(source: SensorSource) -> dict[str, list[SensorWindow]]:
    """Windows by split: those of one step together, the shortest step first."""
    steps = sorted({window.step for window in source.windows})
    return {
        f"every_{format_duration(step)}": [w for w in source.windows if w.step == step]
        for step in steps
    }


def window_columns(source: SensorSource, split: str) -> list[str]:
    """Names of a split's feature columns, in order, each once."""
    names = [
        f"{channel}_{aggregate}_{format_duration(window.size)}"
        for window in window_splits(source)[split]
        for channel in source.channels
        for aggregate in window.aggregates(channel)
    ]
    return list(dict.fromkeys(names))


def window_tables(
    plan: Plan, begin: int, entities: pa.Array, series: dict[str, Series]
) -> Iterator[tuple[str, pa.Table]]:
    """Computes all windows.

    Args:
      plan: the settings; windows end at ``plan.end`` at the latest.
      begin: the earliest end of a window, microseconds.
      entities: the entities that series' keys count.
      series: by channel; see Series.

    Yields:
      By split its name and table: the entity, ``time`` (a window's end) and ``known_at`` (when
      the last of its readings had been received, at the earliest its end), int64 microseconds, and
      float64 features, null where missing. Rows are sorted by entity and time.
    """
    source = plan.source
    for split, windows in window_splits(source).items():
        step = windows[0].step
        channels = {
            name: series[name]
            for name in source.channels
            if any(window.aggregates(name) for window in windows)
        }
        stay = max([window.size for window in windows] + [source.fill or 0])
        key, ends = window_grid(channels, len(entities), step, stay, begin, plan.end)
        known = ends.copy()
        late = {name: _late(readings, step) for name, readings in channels.items()}
        features: dict[str, Floats] = {}
        ranges: dict[tuple[int, int], tuple[Ints, Ints]] = {}
        for window in windows:
            for channel, readings in channels.items():
                aggregates = window.aggregates(channel)
                if not aggregates:
                    continue
                # Channels read at the same moments fall into windows alike.
                moments = readings.moments
                alike = (id(moments), window.size)
                if alike not in ranges:
                    ranges[alike] = window_ranges(moments.key, moments.time, key, ends, window.size)
                lo, hi = map(readings.before, ranges[alike])
                received = late[channel]
                if received is not None:
                    _delay(known, received, lo, hi, ends)
                columns = _aggregate(source, channel, window, readings, lo, hi, ends)
                filled = _fill(source.fill, readings, columns, lo, hi, key, ends)
                if moments.received is not None:
                    last = moments.received[readings.at(hi[filled] - 1)]
                    known[filled] = np.maximum(known[filled], last)
                size = format_duration(window.size)
                for aggregate in aggregates:
                    features[f"{channel}_{aggregate}_{size}"] = columns[aggregate]
        names = [source.entity, "time", "known_at", *window_columns(source, split)]
        arrays = [entities.take(pa.array(key)), pa.array(ends), pa.array(known)]
        arrays += [pa.array(features[name], from_pandas=True) for name in names[3:]]
        yield split, pa.Table.from_arrays(arrays, names=names)


def window_grid(
    channels: dict[str, Series], entities: int, step: int, stay: int, begin: int, end: int
) -> tuple[Ints, Ints]:
    """The ends of all windows.

    Args:
      channels: the readings.
      entities: how many entities there are.
      step: time between two ends, microseconds.
      stay: how long after an entity's last reading windows still end, microseconds.
      begin: the earliest end.
      end: the latest end.

    Returns:
      ``key, ends``, int64[m], sorted by key and end.
    """
    first = np.full(entities, np.iinfo(np.int64).max)
    last = np.full(entities, np.iinfo(np.int64).min)
    for readings in channels.values():
        owner, begins, stops = readings.spans
        first[owner] = np.minimum(first[owner], begins)
        last[owner] = np.maximum(last[owner], stops)
    present = np.flatnonzero(last >= first)
    low = -(-np.maximum(first[present], begin) // step)
    high = np.minimum((last[present] + stay) // step, end // step)
    count = np.maximum(high - low + 1, 0)
    key = np.repeat(present, count)
    offset = np.arange(len(key)) - np.repeat(np.cumsum(count) - count, count)
    return key, (np.repeat(low, count) + offset) * step


def _aggregate(
    source: SensorSource,
    channel: str,
    window: SensorWindow,
    readings: Series,
    lo: Ints,
    hi: Ints,
    ends: Ints,
) -> dict[str, Floats]:
    aggregates = window.aggregates(channel)
    plain = [name for name in aggregates if name != "missing"]
    times = readings.time if {"age", "slope"} & set(plain) else None
    columns: dict[str, Floats] = aggregate_windows(times, readings.value, lo, hi, ends, plain)
    if "missing" in aggregates:
        interval = source.channels[channel].interval or source.interval
        assert interval is not None
        due = window.size / interval
        count: Floats = (hi - lo).astype(np.float64)
        columns["missing"] = np.maximum(1 - count / due, 0.0)
    return columns


def _fill(
    fill: int | None,
    readings: Series,
    columns: dict[str, Floats],
    lo: Ints,
    hi: Ints,
    key: Ints,
    ends: Ints,
) -> Ints:
    """Repeats the last value in windows without one; returns which these are."""
    repeated = [name for name in REPEATED if name in columns]
    empty = np.flatnonzero(hi <= lo)
    if fill is None or not repeated or not len(empty) or not len(readings):
        return np.zeros(0, np.int64)
    before = np.maximum(hi[empty] - 1, 0)
    moment = readings.at(before)
    fresh = (
        (hi[empty] > 0)
        & (readings.moments.key[moment] == key[empty])
        & (ends[empty] - readings.moments.time[moment] <= fill)
    )
    filled = empty[fresh]
    for name in repeated:
        columns[name][filled] = readings.value[before[fresh]]
    return filled


def _late(readings: Series, step: int) -> Floats | None:
    """When readings were received, float64[n]; None if that delays no window."""
    if readings.moments.received is None:
        return None
    received = readings.of(readings.moments.received)
    # Receipt before the next end on the grid, as of most readings, delays none.
    if (received <= -(-readings.time // step) * step).all():
        return None
    # Microseconds are exact in float64 until the year 2255.
    return received.astype(np.float64)


def _delay(known: Ints, received: Floats, lo: Ints, hi: Ints, ends: Ints) -> None:
    """Raises ``known`` to the latest receipt among each window's readings."""
    full = np.flatnonzero(hi > lo)
    latest = aggregate_windows(None, received, lo[full], hi[full], ends[full], ["max"])["max"]
    known[full] = np.maximum(known[full], latest.astype(np.int64))
