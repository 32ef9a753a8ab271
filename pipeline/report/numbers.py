"""Numbers and times as people read them."""

import math

from components.ingest.durations import MICROSECONDS, parse_instant

NOTHING = "–"
_DAY = MICROSECONDS["d"] / MICROSECONDS["s"]


def count(value: float | None) -> str:
    """``1431202`` as ``1,431,202``."""
    return NOTHING if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """A share of 1 in percent: ``1.2 %``, ``<0.1 %`` where it is not quite nothing."""
    if share is None:
        return NOTHING
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.9995 < share < 1:
        return ">99.9 %"
    digits = 0 if share in (0, 1) or 0.1 <= share < 0.99 else 1
    return f"{share:.{digits}%}".replace("%", " %")


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with ``digits`` that count: ``0.924``, ``12,300``, ``1.2e-05``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    size = abs(value)
    if size >= 10**digits or value == int(value):
        return f"{value:,.0f}" if size < 1e9 else f"{value:.{digits}g}"
    if size < 1e-3:
        return f"{value:.{digits - 1}g}"
    decimals = digits - 1 - math.floor(math.log10(size)) if size >= 1 else digits
    return f"{value:.{max(decimals, 0)}f}"


def change(value: float | None) -> str:
    """A difference with its sign: ``+0.012``."""
    return NOTHING if value is None else f"{value:+.3f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """``0.3 s``, ``45 s``, ``2 min 5 s``, ``3 h 20 min``, ``14 d``."""
    if seconds is None:
        return NOTHING
    if seconds < 0.001:
        return "0 s" if seconds <= 0 else "<1 ms"
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, below, below_size in (
        ("d", _DAY, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = int(whole % size // below_size)
            return f"{int(whole // size)} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def instant(text: str | None) -> str:
    """``2025-04-17T06:00:00Z`` as ``2025-04-17 06:00 UTC``."""
    return f"{text[:16].replace('T', ' ')} UTC" if text else NOTHING


def day(text: str | None) -> str:
    """``2025-04-17T06:00:00Z`` as ``2025-04-17``."""
    return text[:10] if text else NOTHING


def moment(text: str | None) -> str:
    """As ``day`` at midnight, else as ``instant``."""
    return day(text) if text and text[11:19] == "00:00:00" else instant(text)


def seconds_of(text: str) -> float:
    """An ISO 8601 time as seconds since the epoch."""
    return parse_instant(text) / MICROSECONDS["s"]
