"""Event windows against a reference that looks at every event for every observation."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from components.ingest.windows import AGGREGATES, HOUR
from components.point_in_time_join import event_windows

ENTITY = st.integers(0, 3)
TIME = st.integers(-6, 12)


def slow_aggregate(events, end):
    """``events``: (time, value), in order."""
    if not events:
        return dict.fromkeys(AGGREGATES, np.nan) | {"count": 0, "sum": 0}
    times = np.array([t for t, _ in events]) / HOUR
    values = np.array([v for _, v in events])
    several, line = len(values) > 1, len(set(times)) > 1
    return {
        "count": len(values),
        "sum": values.sum(),
        "mean": values.mean(),
        "std": values.std(ddof=1) if several else np.nan,
        "min": values.min(),
        "max": values.max(),
        "first": values[0],
        "last": values[-1],
        "slope": np.polyfit(times - times[0], values, 1)[0] if line else np.nan,
        "age": end / HOUR - times[-1],
    }


def check(observations, rows, with_known, size):
    entity, time = np.array(observations, np.int64).reshape(-1, 2).T
    columns = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
    row_entity, row_time, row_known = (np.array(c, np.int64) for c in columns[:3])
    values, present = np.array(columns[3], float), np.array(columns[4], bool)
    # Hours, so that slopes are of the values' size.
    time, row_time, row_known, size = time * HOUR, row_time * HOUR, row_known * HOUR, size * HOUR
    series = event_windows.EventSeries(
        entity, time, row_entity, row_time, row_known if with_known else None
    )
    fast = series.aggregate(values, present, size, AGGREGATES)
    for at, (one, end) in enumerate(zip(entity, time, strict=True)):
        inside = [
            i
            for i in range(len(rows))
            if row_entity[i] == one
            and end - size < row_time[i] <= end
            and present[i]
            and (not with_known or row_known[i] <= end)
        ]
        inside.sort(key=lambda i: (row_time[i], row_known[i] if with_known else 0, i))
        slow = slow_aggregate([(row_time[i], values[i]) for i in inside], end)
        for name in AGGREGATES:
            assert fast[name][at] == pytest.approx(slow[name], abs=1e-7, nan_ok=True), name


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
    st.lists(st.tuples(ENTITY, TIME), max_size=12),
    st.lists(st.tuples(ENTITY, TIME, TIME, st.integers(-9, 9), st.booleans()), max_size=25),
    st.booleans(),
    st.integers(1, 9),
)
def test_windows_hold_what_had_happened_and_was_known(observations, rows, with_known, size):
    check(observations, rows, with_known, size)


@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_chunks_of_any_size_give_the_same(monkeypatch, chunk):
    monkeypatch.setattr(event_windows, "CHUNK", chunk)
    generator = np.random.default_rng(7)
    rows = [
        (int(e), int(t), int(t + d), float(v), True)
        for e, t, d, v in zip(
            generator.integers(0, 3, 120),
            generator.integers(0, 40, 120),
            generator.integers(0, 6, 120),
            generator.normal(size=120),
            strict=True,
        )
    ]
    observations = [(e, t) for e in range(4) for t in range(0, 45, 3)]
    check(observations, rows, True, 8)


def test_sizes_of_one_source_do_not_mix():
    one = np.zeros(1, np.int64)
    series = event_windows.EventSeries(
        one, one + 10 * HOUR, np.zeros(3, np.int64), np.arange(3) * 5 * HOUR
    )
    assert series.aggregate(None, None, 6 * HOUR, ["count"])["count"].tolist() == [2]
    assert series.aggregate(None, None, 1 * HOUR, ["count"])["count"].tolist() == [1]
    assert series.aggregate(None, None, 6 * HOUR, ["count"])["count"].tolist() == [2]
