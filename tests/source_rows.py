"""Hourly readings of two machines, the data over which each source is held to its promises."""

from typing import Any

from components.ingest.durations import MICROSECONDS, parse_instant
from components.ingest.plan import Times

HOUR = MICROSECONDS["h"]
DAY = parse_instant("2025-04-01")
TIMES = Times(DAY + 6 * HOUR, DAY + 18 * HOUR, DAY + 24 * HOUR)


def reading(hour: int) -> dict[str, Any]:
    """The reading of an hour since midnight; every fifth lacks its temperature."""
    return {
        "machine_id": f"m{hour % 2}",
        "at": DAY + hour * HOUR,
        "temperature": None if hour % 5 == 0 else 20.5 + hour,
        "count": hour,
        "ok": hour % 3 == 0,
        "note": f"it's “{hour}”, \\ok",
    }


def readings() -> list[dict[str, Any]]:
    """Those of a whole day."""
    return [reading(hour) for hour in range(24)]


def asked() -> list[dict[str, Any]]:
    """Those in TIMES."""
    return [row for row in readings() if TIMES.begin <= row["at"] < TIMES.end]


LATE = {**reading(7), "at": DAY + 7 * HOUR + HOUR // 2}
"""One that comes later."""
