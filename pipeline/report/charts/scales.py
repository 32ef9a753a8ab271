"""From values to pixels, and which values an axis names."""

import dataclasses
import datetime
import itertools
import math
from collections.abc import Sequence

from pipeline.report import numbers

_DAY = 86400.0
_TIME_STEPS = (3600, 3 * 3600, 6 * 3600, 12 * 3600, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY)


@dataclasses.dataclass(frozen=True)
class Scale:
    """A linear scale.

    Attributes:
      low: the value at ``begin``.
      high: the value at ``end``.
      begin: pixel.
      end: pixel.
    """

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """The value's pixel."""
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)


def domain(values: Sequence[float], *, zero: bool = False) -> tuple[float, float]:
    """Round bounds that hold all values that are finite; they differ, always.

    Args:
      values: what is to be shown.
      zero: whether the bounds reach down to 0.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        pad = abs(low) / 10 or 1.0
        low, high = (low, high + pad) if zero else (low - pad, high + pad)
    step = _step(high - low, 5)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values from ``low`` to ``high``, at most about ``most``."""
    step = _step(high - low, most)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def names(values: Sequence[float]) -> list[str]:
    """The ticks' names, all with the same decimals."""
    if not values:
        return []
    step = min((b - a for a, b in itertools.pairwise(values)), default=1.0)
    size = max(abs(value) for value in values)
    if size and (size >= 1e6 or size < 1e-3):
        return [f"{value:.3g}" for value in values]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    # Steps of 2.5 need one more.
    digits += abs(step * 10**digits - round(step * 10**digits)) > 1e-6
    return [f"{value:,.{digits}f}" for value in values]


def time_ticks(low: float, high: float, most: int = 5) -> list[tuple[float, str]]:
    """Round times and their names.

    Args:
      low: seconds since the epoch.
      high: seconds since the epoch.
      most: about how many.
    """
    span = high - low
    for step in _TIME_STEPS:
        if span / step <= most:
            first = math.ceil(low / step)
            found = [number * step for number in range(first, math.floor(high / step) + 1)]
            return [(value, _time_name(value, step)) for value in found]
    return _month_ticks(low, high, most)


def _month_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    stride = max(1, math.ceil((high - low) / (30.4 * _DAY) / most))
    moment = datetime.datetime.fromtimestamp(low, datetime.timezone.utc)
    month = moment.year * 12 + moment.month - 1
    found: list[tuple[float, str]] = []
    while True:
        begin = datetime.datetime(month // 12, month % 12 + 1, 1, tzinfo=datetime.timezone.utc)
        if begin.timestamp() > high:
            return found
        if month % stride == 0 and begin.timestamp() >= low:
            found.append((begin.timestamp(), begin.strftime("%Y-%m")))
        month += 1


def _time_name(seconds: float, step: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%m-%d %H:%M" if step < _DAY else "%Y-%m-%d")


def _step(span: float, most: int) -> float:
    rough = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * size for size in (1, 2, 2.5, 5, 10) if power * size >= rough * 0.999)


def tip(x: float, y: float, name: str = "") -> str:
    """What is told of a point on hovering."""
    return f"{name}{': ' if name else ''}{numbers.decimal(x)}, {numbers.decimal(y)}"
