"""Days in UTC, told by their number since 1970-01-01: what TFX calls a span."""

import datetime
import json
from collections.abc import Iterable
from typing import Any

from components.ingest.durations import MICROSECONDS
from components.ingest.plan import Times

DAY = MICROSECONDS["d"]
_EPOCH = datetime.date(1970, 1, 1)


def days_of(begin: int, end: int) -> range:
    """The days that have a part in a stretch of time, microseconds since the epoch."""
    return range(begin // DAY, -(-end // DAY))


def times_of(days: range) -> Times:
    """From the first day's midnight to the midnight after the last."""
    return Times(days.start * DAY, days.stop * DAY, days.stop * DAY)


def write_day(day: int) -> str:
    """A day as ``'2025-04-17'``."""
    return (_EPOCH + datetime.timedelta(days=day)).isoformat()


def read_day(text: str) -> int:
    """A day from ``'2025-04-17'``.

    Raises:
      ValueError: if it is no such text.
    """
    try:
        return (datetime.date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise ValueError(f"{text!r} is no day: expected one such as '2025-04-17'") from None


def stretches(days: Iterable[int], most: int) -> list[range]:
    """Days next to each other together, at most ``most``: each stretch is read by one query."""
    found: list[range] = []
    for day in sorted(days):
        last = found[-1] if found else range(0)
        if last and day == last.stop and len(last) < most:
            found[-1] = range(last.start, day + 1)
        else:
            found.append(range(day, day + 1))
    return found


def write_watermark(values: Iterable[Any]) -> str:
    """A row of values as a watermark."""
    return json.dumps(list(values), default=str, separators=(",", ":"))
