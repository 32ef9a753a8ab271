"""Lengths of time: windows by the sensors' rate, and a split that fits into the data."""

from typing import NamedTuple

from components.ingest.durations import MICROSECONDS, format_duration

_H, _D = MICROSECONDS["h"], MICROSECONDS["d"]
_M, _S = MICROSECONDS["m"], MICROSECONDS["s"]
_ROUND = (
    *(n * _S for n in (1, 2, 5, 10, 15, 30)),
    *(n * _M for n in (1, 2, 5, 10, 15, 30)),
    *(n * _H for n in (1, 2, 3, 6, 12, 24)),
    *(n * _D for n in (2, 3, 7, 14, 30, 60, 90, 180, 365)),
)


class Sizes(NamedTuple):
    """Lengths of windows, microseconds."""

    short: int
    long: int
    every: int


def round_up(microseconds: float) -> int:
    """The least usual length, such as 3h or 7d, that is not below this one."""
    return next((size for size in _ROUND if size >= microseconds), _ROUND[-1])


def round_down(microseconds: float) -> int:
    """The greatest usual length that is not above this one."""
    return next((size for size in reversed(_ROUND) if size <= microseconds), _ROUND[0])


def nearest(microseconds: float) -> int:
    """The usual length that is nearest: the rate at which a sensor was meant to tell."""
    return min(_ROUND, key=lambda size: abs(size - microseconds))


def sensor_sizes(interval: int, horizon: int) -> Sizes:
    """Windows over readings: an eighth of the horizon for what changes, all of it for the level.

    Each holds three readings at least, and a new one ends as often as readings come.

    Args:
      interval: time between two readings, microseconds; 0 where unknown.
      horizon: how far the label looks ahead; 0 counts as a day.
    """
    base = horizon or _D
    short = round_up(max(base / 8, 3 * interval))
    every = min(round_up(max(base / 24, interval)), short)
    return Sizes(short, max(round_up(base), round_up(4 * short)), every)


def event_sizes(horizon: int, span: int) -> Sizes:
    """Windows over events: counts over the horizon and a week of it, ages over all there is.

    Args:
      horizon: how far the label looks ahead, microseconds; 0 counts as a day.
      span: from the first event to the last.
    """
    short = round_up(max(horizon, _D))
    long = round_up(7 * short)
    return Sizes(short, long, max(long, round_down(span)))


def calendar_step(horizon: int, interval: int) -> int:
    """How often an entity is observed where nothing else says so: eight times a horizon."""
    return round_up(max((horizon or _D) / 8, interval))


def split(span: int, horizon: int) -> dict[str, str]:
    """Four fifths to train on and one to evaluate on, of what two horizons leave.

    Args:
      span: from the first observation to the last, microseconds.
      horizon: how far the label looks ahead.

    Raises:
      ValueError: if nothing is left, or the label looks further ahead than there is to train on.
    """
    left = span - 2 * horizon
    unit = next((unit for unit in (_D, _H, _M, _S) if left >= 10 * unit), 0)
    train, evaluate = (left * 4 // 5 // unit * unit, left // 5 // unit * unit) if unit else (0, 0)
    if train <= horizon:
        raise ValueError(
            f"observations span {format_duration(span // _S * _S)}, of which the label's horizon "
            f"of {format_duration(horizon)} takes two (between train and eval, and before the "
            "end): too little is left. Choose a shorter --horizon, or collect more data"
        )
    return {"by": "time", "train": format_duration(train), "eval": format_duration(evaluate)}
