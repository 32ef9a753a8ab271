"""What is known of a database's tables after a bounded look."""

import dataclasses
import functools
import re
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import MICROSECONDS

WHOLE = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"
"""How SQLite's own functions write a time, so that texts compare as times do."""

FRACTION = WHOLE[:-1] + r"(\.\d+)?$"
"""As SQLAlchemy writes it: it compares rightly with ``:begin`` and ``:end``."""

_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}
_SINCE, _UNTIL = 631_152_000, 4_102_444_800  # 1990 and 2100, seconds since the epoch.
_TIME_NAME = re.compile(r"(^|_)(ts|time|timestamp|epoch|date|at|on)($|_)|time|date", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column and a sample of it.

    Attributes:
      name: its name.
      kind: a kind of ``components/ingest/sql/columns.py``; None where it has no place in a feature.
      values: n sampled values; times as int64 microseconds since the epoch.
      declared: the type that the database names.
      refers: the table and column that a foreign key names, or None.
      unit: what a time counts since the epoch (s, ms, us); None where it is no number.
      form: how a time is written in text: as WHOLE, as FRACTION, or neither.
    """

    name: str
    kind: str | None
    values: pa.Array
    declared: str = ""
    refers: tuple[str, str] | None = None
    unit: str | None = None
    form: Literal["whole", "fraction", "other"] = "whole"

    @functools.cached_property
    def known(self) -> pa.Array:
        """The sampled values that are there, NaN aside."""
        values = self.values.drop_null()
        return values.filter(pc.is_finite(values)) if self.kind == "float" else values

    @functools.cached_property
    def distinct(self) -> int:
        """How many different values the sample holds."""
        return len(self.known.unique())

    @property
    def missing(self) -> int:
        """How many sampled values are NULL or NaN."""
        return len(self.values) - len(self.known)

    @property
    def unique(self) -> bool:
        """Whether no sampled value comes twice, and none is missing."""
        return 0 < self.distinct == len(self.values)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, a view or a query, looked at.

    Attributes:
      name: its name.
      source: what stands after FROM.
      columns: by name, in its own order.
      rows: how many rows it has, counted up to a bound.
      key: the columns of its primary key.
    """

    name: str
    source: str
    columns: dict[str, Column]
    rows: int
    key: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Course:
    """How a table's rows run on in time.

    Attributes:
      begin: the first time, microseconds since the epoch.
      end: the last one.
      entities: how many entities have rows.
      interval: the median time between two rows of one entity, microseconds; 0 where unknown.
      regular: whether nearly all of these gaps are as long as the median.
    """

    begin: int
    end: int
    entities: int
    interval: int = 0
    regular: bool = False

    @property
    def span(self) -> int:
        """From the first row to the last, microseconds."""
        return self.end - self.begin


def epoch_unit(name: str, values: pa.Array) -> str | None:
    """What a number counts since the epoch, where its name and size say that it is a time.

    Args:
      name: the column's.
      values: numbers without null.
    """
    if not len(values) or not _TIME_NAME.search(name):
        return None
    bounds = pc.min_max(values).as_py()
    for unit, count in _UNITS.items():
        if _SINCE * count <= bounds["min"] and bounds["max"] <= _UNTIL * count:
            return unit
    return None


def course_of(begin: int, end: int, entities: int, times: pa.Array) -> Course:
    """Judges the times of one entity's rows.

    Args:
      begin: the table's first time, microseconds since the epoch.
      end: its last one.
      entities: how many entities have rows.
      times: int64[n], consecutive times of one entity, ascending.
    """
    gaps = pc.subtract(times.slice(1), times.slice(0, max(len(times) - 1, 0)))
    gaps = gaps.filter(pc.greater(gaps, 0))
    if len(gaps) < 3:
        return Course(begin, end, entities)
    low, median, high = pc.quantile(gaps, [0.1, 0.5, 0.9]).to_pylist()
    regular = len(gaps) >= 10 and high <= 1.5 * median and low >= 0.5 * median
    return Course(begin, end, entities, int(median), regular)


def hours(microseconds: int) -> float:
    """A duration in hours."""
    return microseconds / MICROSECONDS["h"]
