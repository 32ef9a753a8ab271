"""Counts of what the join met, kept by bucket and added up."""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

_GROWTH = 1.02


@dataclasses.dataclass
class Span:
    """The earliest and the latest instant met, microseconds."""

    first: int
    last: int


@dataclasses.dataclass
class Moments:
    """Count, mean and sum of squares about it; added up as Chan, Golub and LeVeque (1983) do."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def std(self) -> float:
        """The sample standard deviation; 0 below two values."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0


@dataclasses.dataclass
class FeedTally:
    """What was met of one feed, or of the spine.

    Attributes:
      rows: rows read.
      left_out: rows that were not used, by reason.
      columns: columns that have a value in some row.
      span: the usable rows' times.
      observations: observations that it was joined to.
      matched: those that got something from it.
      entities: entities among the observations.
      shared: those that the feed has too.
      ages: a sketch of how old what they got was (see ``sketch_ages``).
    """

    rows: int = 0
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    columns: set[str] = dataclasses.field(default_factory=set)
    span: Span | None = None
    observations: int = 0
    matched: int = 0
    entities: int = 0
    shared: int = 0
    ages: dict[int, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class SplitTally:
    """What went into one split: rows, their times, and their labels by class or as moments."""

    rows: int = 0
    span: Span | None = None
    classes: dict[Any, int] = dataclasses.field(default_factory=dict)
    moments: Moments = dataclasses.field(default_factory=Moments)


@dataclasses.dataclass
class Tally:
    """What was met by the whole join.

    Attributes:
      spine: the observations as read.
      feeds: by name.
      splits: by name.
      dropped: observations in no split, by reason.
      duplicates: observations that repeat another's entity and time.
      likeness: by feature of how many labelled observations it has a value, and in how many of
        those it equals the label.
      problems: data errors met while joining, as the arguments of DataError.
    """

    spine: FeedTally = dataclasses.field(default_factory=FeedTally)
    feeds: dict[str, FeedTally] = dataclasses.field(default_factory=dict)
    splits: dict[str, SplitTally] = dataclasses.field(default_factory=dict)
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    duplicates: int = 0
    likeness: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    problems: list[tuple] = dataclasses.field(default_factory=list)


def add(a: Any, b: Any) -> Any:
    """Adds two tallies, or two parts of tallies, of one type up; None is nothing."""
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, Span):
        return Span(min(a.first, b.first), max(a.last, b.last))
    if isinstance(a, Moments):
        return _add_moments(a, b)
    if isinstance(a, (Tally, FeedTally, SplitTally)):
        fields = [field.name for field in dataclasses.fields(a)]
        return type(a)(**{f: add(getattr(a, f), getattr(b, f)) for f in fields})
    if isinstance(a, dict):
        return {key: add(a.get(key), b.get(key)) for key in {**a, **b}}
    if isinstance(a, set):
        return a | b
    if isinstance(a, tuple):
        return tuple(add(x, y) for x, y in zip(a, b, strict=True))
    return a + b


def moments(values: npt.NDArray[np.float64]) -> Moments:
    """Moments of values, none missing."""
    if not len(values):
        return Moments()
    mean = float(values.mean())
    return Moments(len(values), mean, float(np.square(values - mean).sum()))


def span(times: npt.NDArray[np.int64]) -> Span | None:
    """The span of times; None of none."""
    return Span(int(times.min()), int(times.max())) if len(times) else None


def sketch_ages(ages: npt.NDArray[np.float64]) -> dict[int, int]:
    """Counts ages by bins that grow by 2 %, so that quantiles keep 1 % of precision when added up.

    The bins are those of DDSketch (Masson, Rim, Lee, VLDB 2019).

    Args:
      ages: microseconds, zero or above; NaN is left out.
    """
    known = ages[~np.isnan(ages)]
    bins = np.ceil(np.log(np.maximum(known, 0.5)) / math.log(_GROWTH)).astype(np.int64)
    numbers, counts = np.unique(bins, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def age_quantile(sketch: dict[int, int], share: float) -> float | None:
    """The age below which a share of all ages lies, microseconds; None of none."""
    if not sketch:
        return None
    rank = share * (sum(sketch.values()) - 1)
    below = 0
    for number in sorted(sketch):
        below += sketch[number]
        if below > rank:
            break
    # The bin of ages below a microsecond is that of zero.
    return 0.0 if number < 0 else 2 * _GROWTH**number / (_GROWTH + 1)


def _add_moments(a: Moments, b: Moments) -> Moments:
    count = a.count + b.count
    if not count:
        return a
    shift = b.mean - a.mean
    return Moments(
        count,
        a.mean + shift * b.count / count,
        a.squares + b.squares + shift**2 * a.count * b.count / count,
    )
