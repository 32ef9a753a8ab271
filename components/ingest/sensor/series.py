"""Readings of one channel, in order, and the moments that channels of a file share."""

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

from components.ingest.ordering import bounds_of
from components.ingest.sensor.plan import LINE_BITS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Moments:
    """When readings were taken and where they stand, sorted by entity and time.

    Attributes:
      key: int64[m], the entity's index among all.
      time: int64[m], microseconds.
      received: int64[m], or None if the source doesn't tell.
      place: int64[m], file and line; see LINE_BITS.
    """

    key: Ints
    time: Ints
    received: Ints | None
    place: Ints

    @functools.cached_property
    def file(self) -> Ints:
        """int64[m], the files' indices."""
        return self.place >> LINE_BITS

    @functools.cached_property
    def bounds(self) -> Ints:
        """int64[k + 1]: where each of the k entities that are there begins, and the end."""
        return bounds_of(self.key)


@dataclasses.dataclass(frozen=True)
class Series:
    """Readings of one channel, sorted by entity and time.

    Channels of a wide file share their moments, and most have a reading at almost all of them.

    Attributes:
      moments: m moments.
      value: float64[n].
      rows: int64[n], ascending, the readings' moments; None: one at each.
    """

    moments: Moments
    value: Floats
    rows: Ints | None = None

    def __len__(self) -> int:
        return len(self.value)

    def at(self, index: Ints) -> Ints:
        """The moments of some readings."""
        return index if self.rows is None else self.rows[index]

    def of(self, column: Ints) -> Ints:
        """What a column of the moments holds for the readings."""
        return column if self.rows is None else column[self.rows]

    def before(self, moments: Ints) -> Ints:
        """How many readings come before moments, of which each may be the end."""
        return moments if self.rows is None else np.searchsorted(self.rows, moments)

    @functools.cached_property
    def key(self) -> Ints:
        """int64[n]: see Moments."""
        return self.of(self.moments.key)

    @functools.cached_property
    def time(self) -> Ints:
        """int64[n]: see Moments."""
        return self.of(self.moments.time)

    @functools.cached_property
    def spans(self) -> tuple[Ints, Ints, Ints]:
        """int64[k] each: the entities with readings, the times of their first and last one."""
        bounds = self.before(self.moments.bounds)
        some = np.flatnonzero(np.diff(bounds))
        owner = self.moments.key[self.moments.bounds[some]]
        first, last = self.at(bounds[some]), self.at(bounds[some + 1] - 1)
        return owner, self.moments.time[first], self.moments.time[last]

    def take(self, index: Ints) -> "Series":
        """Some of the readings, in order."""
        return Series(self.moments, self.value[index], self.at(index))
