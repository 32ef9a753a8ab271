"""Aggregates over the events before each observation, of those that were known by then."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from components.ingest.windows import Floats, Ints, aggregate_windows, window_ranges
from components.point_in_time_join.asof import event_order

CHUNK = 4_000_000
"""Pairs of an observation and an event that are looked at together: bounds memory."""


class EventSeries:
    """A source's events in order, ready for windows that end at given observations.

    Events count for an observation at ``t`` if they happened in ``(t - size, t]`` and were known at
    ``t``.
    """

    def __init__(
        self,
        entity: Ints,
        time: Ints,
        row_entity: Ints,
        row_time: Ints,
        row_known: Ints | None = None,
    ) -> None:
        """Sorts the events by entity, time, known-at and order of rows.

        Args:
          entity: int64[m], codes of the observations' entities.
          time: int64[m], their times, microseconds.
          row_entity: int64[n], codes of the events' entities.
          row_time: int64[n], when they happened, microseconds.
          row_known: int64[n], when they came to be known; None: as they happened.
        """
        self._entity = entity
        self._ends = time
        self._order = event_order(row_entity, row_time, row_known)
        self._row_entity = row_entity[self._order]
        self._row_time = row_time[self._order]
        late = row_known is not None and bool(np.any(row_known > row_time))
        self._row_known = row_known[self._order] if late and row_known is not None else None
        self._ranges: dict[int, tuple[Ints, Ints]] = {}

    def aggregate(
        self,
        values: Floats | None,
        present: npt.NDArray[np.bool_] | None,
        size: int,
        aggregates: Sequence[str],
    ) -> dict[str, Floats]:
        """Aggregates one column over the windows of one size.

        Args:
          values: float64[n] in the rows' order; None for a column that has no numbers, of which
            ``count`` and ``age`` alone can be told.
          present: bool[n], where the column has a value; None: everywhere.
          size: the windows' length, microseconds.
          aggregates: as in ``aggregate_windows``.

        Returns:
          By aggregate float64[m], NaN where missing.
        """
        kept = slice(None) if present is None else np.flatnonzero(present[self._order])
        times = self._row_time[kept]
        numbers = np.zeros(len(times)) if values is None else values[self._order][kept]
        known = None if self._row_known is None else self._row_known[kept]
        if present is None and size in self._ranges:
            lo, hi = self._ranges[size]
        else:
            lo, hi = window_ranges(self._row_entity[kept], times, self._entity, self._ends, size)
            if present is None:
                self._ranges[size] = lo, hi
        result = aggregate_windows(times, numbers, lo, hi, self._ends, aggregates)
        if known is None:
            return result
        # Float64 keeps the order of microseconds against any time before the year 2255.
        newest = aggregate_windows(times, known, lo, hi, self._ends, ["max"])["max"]
        unknown = np.flatnonzero(newest > self._ends)
        for some in _chunks(unknown, (hi - lo)[unknown]):
            seen, begin, end = _known_events(known, lo[some], hi[some], self._ends[some])
            mended = aggregate_windows(
                times[seen], numbers[seen], begin, end, self._ends[some], aggregates
            )
            for name, column in mended.items():
                result[name][some] = column
        return result


def _chunks(windows: Ints, lengths: Ints) -> Iterator[Ints]:
    """Cuts windows into runs whose lengths add up to about CHUNK."""
    if len(windows):
        chunk = np.cumsum(lengths) // CHUNK
        yield from np.split(windows, np.flatnonzero(np.diff(chunk)) + 1)


def _known_events(known: Ints, lo: Ints, hi: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
    """Lays the windows' known events out one window after the other.

    Returns:
      Their indices, and the half-open range of each window in them.
    """
    lengths = hi - lo
    begin = np.cumsum(lengths) - lengths
    index = np.repeat(lo - begin, lengths) + np.arange(int(lengths.sum()))
    seen = known[index] <= np.repeat(ends, lengths)
    until = np.concatenate([[0], np.cumsum(seen)])
    return index[seen], until[begin], until[begin + lengths]
