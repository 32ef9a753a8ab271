"""Aggregates over windows of time: the one code that sensors, the join and prediction share.

A window is ``(end - size, end]``: it holds its end and not its begin. Values of one channel lie in
one array, sorted by entity and time, and a window is a half-open index range of it.

Windows overlap, by much where they slide. Work is shared in two steps, so that its cost is that of
the values plus that of the windows, whatever the overlap:

1. The begins and ends of all windows cut the values into panes, each summed up once
   (Li et al., "No pane, no gain", SIGMOD Record 34:1, 2005).
2. A window is a run of panes. Short runs are folded pane by pane, long ones with a disjoint sparse
   table: every run is split at a pivot that many runs have in common, and is the running fold
   leftwards of its pivot joined with the one rightwards. Nothing is subtracted, so nothing cancels.

Squares are summed about a value from inside: a pane's first value, then a window's pivot pane. That
loses at most the factor ``1 + n`` of precision for ``n`` values (Chan, Golub, LeVeque, "Algorithms
for computing the sample variance", 1983), however far from zero they lie.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from components.ingest.durations import MICROSECONDS
from components.ingest.ordering import places

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HOUR = MICROSECONDS["h"]
SHORT = 8
"""Runs of up to as many panes are folded pane by pane."""

AGGREGATES = ("count", "sum", "mean", "std", "min", "max", "first", "last", "slope", "age")


def window_ranges(
    series_key: npt.ArrayLike,
    series_times: npt.ArrayLike,
    query_key: npt.ArrayLike,
    query_ends: npt.ArrayLike,
    size: int,
) -> tuple[Ints, Ints]:
    """Finds what falls into windows ``(end - size, end]``.

    Args:
      series_key: int64[n], codes of the series' entities, ascending.
      series_times: int64[n], microseconds, ascending within an entity.
      query_key: int64[m], the windows' entities in the same codes, in any order; a code that the
        series lacks gives an empty range.
      query_ends: int64[m], the windows' ends, microseconds.
      size: the windows' length, microseconds.

    Returns:
      ``lo, hi``, int64[m]: the half-open index range of each window.
    """
    keys = np.asarray(series_key, np.int64)
    times = np.asarray(series_times, np.int64)
    wanted = np.asarray(query_key, np.int64)
    ends = np.asarray(query_ends, np.int64)
    lo, hi = places(keys, times, wanted, ends - size, ends)
    return lo, hi


def aggregate_windows(
    times: npt.ArrayLike | None,
    values: npt.ArrayLike,
    lo: npt.ArrayLike,
    hi: npt.ArrayLike,
    ends: npt.ArrayLike,
    aggregates: Sequence[str],
) -> dict[str, Floats]:
    """Aggregates the values of each window.

    Args:
      times: int64[n], microseconds, ascending within each window; read by ``slope`` and ``age``
        alone.
      values: float64[n], none missing.
      lo: int64[m], where each window begins in ``times`` and ``values``.
      hi: int64[m], where it ends, excluded; ``hi <= lo`` is an empty window.
      ends: int64[m], the instants at which the windows end, microseconds; read by ``age`` alone.
      aggregates: any of AGGREGATES. ``std`` is the sample one (missing below two values), ``slope``
        the least-squares one per hour (missing below two distinct times), ``age`` hours from the
        last value to the window's end. Of an empty window ``count`` and ``sum`` are 0, the rest
        are missing.

    Returns:
      By aggregate float64[m], NaN where missing.

    Raises:
      ValueError: if an aggregate has another name.
    """
    unknown = [name for name in aggregates if name not in AGGREGATES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no aggregate: expected one of {', '.join(AGGREGATES)}")
    instants = np.asarray([] if times is None else times, np.int64)
    numbers = np.asarray(values, np.float64)
    begin = np.asarray(lo, np.int64)
    end = np.asarray(hi, np.int64)
    filled = np.flatnonzero(end > begin)
    inside: dict[str, Floats] = {}
    if len(filled):
        asked = np.asarray(ends, np.int64)[filled]
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            inside = _aggregate_filled(
                instants, numbers, begin[filled], end[filled], asked, aggregates
            )
    result = {}
    for name in aggregates:
        column = np.full(len(begin), 0.0 if name in ("count", "sum") else np.nan)
        if len(filled):
            column[filled] = inside[name]
        result[name] = column
    return result


def _aggregate_filled(
    times: Ints, values: Floats, lo: Ints, hi: Ints, ends: Ints, aggregates: Sequence[str]
) -> dict[str, Floats]:
    last = hi - 1
    count = (hi - lo).astype(np.float64)
    wanted = set(aggregates)
    result: dict[str, Floats] = {}
    if "count" in wanted:
        result["count"] = count
    if "first" in wanted:
        result["first"] = values[lo]
    if "last" in wanted:
        result["last"] = values[last]
    if "age" in wanted:
        result["age"] = (ends - times[last]) / HOUR
    if not wanted & {"sum", "mean", "std", "min", "max", "slope"}:
        return result

    panes = _Panes(lo, hi)
    if "min" in wanted:
        result["min"] = panes.reduce(np.minimum, values)
    if "max" in wanted:
        result["max"] = panes.reduce(np.maximum, values)
    if wanted & {"sum", "mean"}:
        total = panes.reduce(np.add, values)
        result["sum"] = total
        result["mean"] = total / count
    if wanted & {"std", "slope"}:
        value_at = panes.centred(values)
    if "std" in wanted:
        squares = panes.products(value_at, value_at)
        spread = np.sqrt(np.maximum(squares, 0) / (count - 1))
        result["std"] = np.where(count > 1, spread, np.nan)
    if "slope" in wanted:
        time_at = panes.centred(times)
        slope = HOUR * panes.products(time_at, value_at) / panes.products(time_at, time_at)
        result["slope"] = np.where(times[last] > times[lo], slope, np.nan)
    return result


class _Centred:
    """A column about its pane's first value: exact for int64, whatever its size."""

    def __init__(self, column: npt.NDArray, starts: Ints, sizes: Ints) -> None:
        self.origin = column[starts]
        self.offset = (column - np.repeat(self.origin, sizes)).astype(np.float64, copy=False)
        self.mean = np.add.reduceat(self.offset, starts) / sizes

    def seen_from(self, index: Ints, pivot: Ints) -> Floats:
        """Means of panes ``index``, less those of panes ``pivot``."""
        return (self.origin[index] - self.origin[pivot]) + (self.mean[index] - self.mean[pivot])


class _Panes:
    """The panes that windows cut values into, and each window as a run of panes."""

    def __init__(self, lo: Ints, hi: Ints) -> None:
        self._stop = int(hi.max())
        cut = np.zeros(self._stop + 1, bool)
        cut[lo] = True
        cut[hi] = True
        bounds = np.flatnonzero(cut)
        self._starts = bounds[:-1]
        self._base = int(bounds[0])
        self._sizes = np.diff(bounds)
        place = np.cumsum(cut)
        self._first = place[lo] - 1
        self._last = place[hi] - 2
        # The highest bit in which the run's two ends differ: clearing the bits below it in the
        # upper end gives a pivot inside the run, the same for all runs about it.
        self._level = np.frexp((self._first ^ self._last).astype(np.float64))[1] - 1
        shift = np.maximum(self._level, 0)
        self._pivot = (self._last >> shift) << shift
        length = self._last - self._first
        short = length < SHORT
        # By place in the run, which short runs have a pane there.
        self._short = [
            np.flatnonzero(short & (length >= place))
            for place in range(1, 1 + int(np.max(length, initial=0, where=short)))
        ]
        self._long = np.flatnonzero(~short)

    def reduce(self, fold: np.ufunc, values: Floats) -> Floats:
        """Folds the values of each window, by pane and then by run of panes."""
        by_pane = fold.reduceat(values[: self._stop], self._starts)
        return self._fold(fold, lambda index, pivot: by_pane[index])

    def centred(self, column: npt.NDArray) -> _Centred:
        """The column's panes about their means."""
        inside = column[self._base : self._stop]
        return _Centred(inside, self._starts - self._base, self._sizes)

    def products(self, a: _Centred, b: _Centred) -> Floats:
        """Sums of ``(a - mean(a)) (b - mean(b))`` over each window."""
        starts, sizes = self._starts - self._base, self._sizes
        within = np.add.reduceat(a.offset * b.offset, starts) - sizes * a.mean * b.mean
        total = self._fold(
            np.add,
            lambda index, pivot: (
                within[index] + sizes[index] * a.seen_from(index, pivot) * b.seen_from(index, pivot)
            ),
        )
        if not len(self._short) and not len(self._long):
            return total
        shift_a = self._shift(a)
        shift_b = shift_a if a is b else self._shift(b)
        count = self._fold(np.add, lambda index, pivot: sizes[index].astype(np.float64))
        total -= shift_a * shift_b / count
        return total

    def _shift(self, a: _Centred) -> Floats:
        sizes = self._sizes
        return self._fold(np.add, lambda index, pivot: sizes[index] * a.seen_from(index, pivot))

    def _fold(self, fold: np.ufunc, term: Callable[[Ints, Ints], Floats]) -> Floats:
        """Folds ``term(pane, pivot)`` over the panes of each run."""
        result = term(self._first, self._pivot)
        for place, runs in enumerate(self._short, 1):
            more = term(self._first[runs] + place, self._pivot[runs])
            result[runs] = fold(result[runs], more)
        levels = self._level[self._long]
        for level in np.unique(levels):
            runs = self._long[levels == level]
            pivots, row = _distinct(self._pivot[runs])
            right = self._last[runs] - self._pivot[runs]
            left = self._pivot[runs] - 1 - self._first[runs]
            here = pivots[:, None]
            after = np.minimum(here + np.arange(right.max() + 1), len(self._starts) - 1)
            before = np.maximum(here - 1 - np.arange(left.max() + 1), 0)
            result[runs] = fold(
                fold.accumulate(term(after, here), axis=1)[row, right],
                fold.accumulate(term(before, here), axis=1)[row, left],
            )
        return result


def _distinct(values: Ints) -> tuple[Ints, Ints]:
    """Distinct values and each value's place among them; ascending ones need no sorting."""
    rises = np.diff(values)
    if (rises < 0).any():
        distinct, place = np.unique(values, return_inverse=True)
        return distinct, place
    first = np.concatenate([[True], rises > 0])
    return values[first], np.cumsum(first) - 1
