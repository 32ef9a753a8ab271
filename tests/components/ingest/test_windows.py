"""Windows against a slow reference: one Python loop, one definition, nothing shared."""

import math
import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from components.ingest import windows

HOUR = 3_600_000_000
MINUTE = HOUR // 60


def slow_aggregates(times, values, end):
    n = len(values)
    empty = dict.fromkeys(windows.AGGREGATES, math.nan) | {"count": 0.0, "sum": 0.0}
    if n == 0:
        return empty
    mean = math.fsum(values) / n
    origin = values[0]
    centre = math.fsum(v - origin for v in values) / n
    squares = math.fsum(((v - origin) - centre) ** 2 for v in values)
    hours = [(t - times[0]) / HOUR for t in times]
    middle = math.fsum(hours) / n
    across = math.fsum((h - middle) ** 2 for h in hours)
    along = math.fsum(
        (h - middle) * ((v - origin) - centre) for h, v in zip(hours, values, strict=True)
    )
    return {
        "count": n,
        "sum": math.fsum(values),
        "mean": mean,
        "std": math.sqrt(squares / (n - 1)) if n > 1 else math.nan,
        "min": min(values),
        "max": max(values),
        "first": values[0],
        "last": values[-1],
        "slope": along / across if times[0] != times[-1] else math.nan,
        "age": (end - times[-1]) / HOUR,
    }


def slow_windows(keys, times, values, wanted, ends, size):
    rows = []
    for key, end in zip(wanted, ends, strict=True):
        inside = [i for i, k in enumerate(keys) if k == key and end - size < times[i] <= end]
        rows.append(slow_aggregates([times[i] for i in inside], [values[i] for i in inside], end))
    return {a: np.array([row[a] for row in rows], float) for a in windows.AGGREGATES}


@st.composite
def cases(draw):
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(-20, 40), st.integers(-1000, 1000)),
            max_size=40,
        )
    )
    rows.sort(key=lambda row: row[:2])
    queries = draw(st.lists(st.tuples(st.integers(-1, 4), st.integers(-25, 60)), max_size=30))
    size = draw(st.integers(1, 50)) * 7 * MINUTE
    offset = draw(st.sampled_from([0.0, 1e9, -1e9, 1e-9]))
    scale = draw(st.sampled_from([1.0, 1e-3, 1e6]))
    start = draw(st.sampled_from([0, 1_700_000_000_000_000, -5 * HOUR]))
    return (
        np.array([r[0] for r in rows], np.int64),
        np.array([start + r[1] * 7 * MINUTE for r in rows], np.int64),
        np.array([offset + r[2] * scale for r in rows], np.float64),
        np.array([q[0] for q in queries], np.int64),
        np.array([start + q[1] * 7 * MINUTE for q in queries], np.int64),
        size,
    )


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(cases())
def test_windows_are_those_of_the_slow_reference(case):
    keys, times, values, wanted, ends, size = case
    lo, hi = windows.window_ranges(keys, times, wanted, ends, size)
    fast = windows.aggregate_windows(times, values, lo, hi, ends, windows.AGGREGATES)
    slow = slow_windows(
        keys.tolist(), times.tolist(), values.tolist(), wanted.tolist(), ends.tolist(), size
    )
    spread = np.ptp(values) if len(values) else 0.0
    largest = np.max(np.abs(values), initial=0.0)
    for name in windows.AGGREGATES:
        # Judged by the values' spread, not by their distance from zero.
        within = 1e-9 * spread * (60 if name == "slope" else 1)
        within = 1e-13 * 40 * largest if name in ("sum", "mean") else within
        np.testing.assert_allclose(fast[name], slow[name], rtol=1e-9, atol=within, err_msg=name)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 64), st.integers(0, 64)), min_size=1, max_size=50),
    st.integers(0, 1000),
)
def test_any_ranges_in_any_order(ranges, seed):
    # Ranges that no sliding window would give: nested, reversed, over the whole array.
    values = np.random.default_rng(seed).normal(size=64)
    times = np.arange(64) * MINUTE
    lo, hi = np.array(ranges).T
    ends = np.full(len(lo), 64 * MINUTE)
    fast = windows.aggregate_windows(times, values, lo, hi, ends, windows.AGGREGATES)
    for i, (begin, end) in enumerate(ranges):
        slow = slow_aggregates(times[begin:end].tolist(), values[begin:end].tolist(), 64 * MINUTE)
        for name in windows.AGGREGATES:
            assert fast[name][i] == pytest.approx(slow[name], rel=1e-9, abs=1e-9, nan_ok=True)


def test_a_counter_that_climbs_far_keeps_the_spread_of_its_windows():
    # Centring on the whole series' mean would lose this: windows spread by 1, the series by 1e12.
    n = 4096
    noise = np.random.default_rng(1).normal(size=n)
    values = np.linspace(0, 1e12, n) + noise
    times = np.arange(n) * MINUTE
    lo = np.arange(0, n - 10, 5)
    result = windows.aggregate_windows(times, values, lo, lo + 10, times[lo + 9], ["std", "slope"])
    expected = [np.std(values[i : i + 10], ddof=1) for i in lo]
    np.testing.assert_allclose(result["std"], expected, rtol=1e-9)


def test_small_noise_far_from_zero():
    values = 1e9 + np.array([0.0, 1.0, 0.0, 1.0]) * 1e-3
    times = np.arange(4) * HOUR
    result = windows.aggregate_windows(times, values, [0], [4], [3 * HOUR], ["std", "slope"])
    assert result["std"][0] == pytest.approx(np.std([0, 1e-3, 0, 1e-3], ddof=1), rel=1e-3)
    assert result["slope"][0] == pytest.approx(0.2e-3, rel=1e-3)


def test_a_constant_has_no_spread_at_all():
    values = np.full(1000, 0.1) + 1e6
    times = np.arange(1000) * MINUTE
    result = windows.aggregate_windows(times, values, [0, 3], [1000, 700], [0, 0], ["std", "slope"])
    assert result["std"].tolist() == [0, 0]
    assert result["slope"].tolist() == [0, 0]


def test_the_end_belongs_to_the_window_and_the_begin_does_not():
    lo, hi = windows.window_ranges([0, 0, 0], [0, HOUR, 2 * HOUR], [0], [2 * HOUR], 2 * HOUR)
    assert (lo[0], hi[0]) == (1, 3)


def test_one_value():
    result = windows.aggregate_windows([HOUR], [7.5], [0], [1], [3 * HOUR], windows.AGGREGATES)
    shown = {name: column[0] for name, column in result.items()}
    assert math.isnan(shown.pop("std"))
    assert math.isnan(shown.pop("slope"))
    assert shown == {
        "count": 1, "sum": 7.5, "mean": 7.5, "min": 7.5, "max": 7.5, "first": 7.5, "last": 7.5,
        "age": 2.0,
    }  # fmt: skip


def test_values_at_one_time_have_no_slope():
    result = windows.aggregate_windows([5, 5, 5], [1, 2, 3], [0], [3], [5], ["slope", "std"])
    assert math.isnan(result["slope"][0])
    assert result["std"][0] == 1


def test_nothing_at_all():
    lo, hi = windows.window_ranges([], [], [], [], HOUR)
    result = windows.aggregate_windows([], [], lo, hi, [], windows.AGGREGATES)
    assert {name: column.shape for name, column in result.items()} == dict.fromkeys(
        windows.AGGREGATES, (0,)
    )


def test_a_series_without_values_gives_zero_and_missing():
    lo, hi = windows.window_ranges([], [], [0, 1], [HOUR, HOUR], HOUR)
    result = windows.aggregate_windows([], [], lo, hi, [HOUR, HOUR], ["count", "sum", "mean"])
    assert result["count"].tolist() == [0, 0]
    assert result["sum"].tolist() == [0, 0]
    assert np.isnan(result["mean"]).all()


def test_an_infinite_value_stays_in_its_own_windows():
    values = np.array([1.0, np.inf, 2.0, 3.0])
    result = windows.aggregate_windows(
        np.arange(4), values, [0, 2, 0], [2, 4, 1], [3, 3, 3], ["max", "std", "mean"]
    )
    assert result["max"].tolist() == [np.inf, 3, 1]
    assert result["mean"].tolist() == [np.inf, 2.5, 1]
    assert result["std"][1] == pytest.approx(math.sqrt(0.5))


def test_an_unknown_aggregate_is_named():
    with pytest.raises(ValueError, match="'median' is no aggregate: expected one of count, sum"):
        windows.aggregate_windows([], [], [], [], [], ["median"])


def test_cost_does_not_grow_with_overlap():
    # A thousandfold overlap: work that visited each window's values would take minutes.
    n = 1_000_000
    times = np.arange(n) * 1_000_000
    values = np.random.default_rng(2).normal(size=n)
    ends = times[::5]
    begun = time.process_time()
    lo, hi = windows.window_ranges(np.zeros(n), times, np.zeros(len(ends)), ends, 5_000 * 1_000_000)
    windows.aggregate_windows(times, values, lo, hi, ends, ["std", "min", "slope"])
    assert time.process_time() - begun < 20
