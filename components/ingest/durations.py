"""Durations and instants as they are written in settings and on the command line.

Inside the pipeline every instant is an ``int`` (or a NumPy ``int64``) of microseconds since
1970-01-01T00:00:00Z, and every duration an ``int`` of microseconds.
"""

import datetime
import re
from typing import Annotated

import pydantic

MICROSECONDS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_DURATION = re.compile(r"([+-]?)(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def parse_duration(text: object) -> int:
    """Reads a duration such as ``'3h'``, ``'90s'``, ``'-1.5m'`` or ``'60d'``.

    Args:
      text: the text; units are us, ms, s, m, h and d.

    Returns:
      Microseconds.

    Raises:
      ValueError: if it is not such a text.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a duration such as '3h' or '90s'")
    sign, number, unit = match.groups()
    return round(float(number) * MICROSECONDS[unit]) * (-1 if sign == "-" else 1)


def format_duration(microseconds: int) -> str:
    """Writes a duration in the largest unit that holds it whole: ``'3h'``, ``'90s'``."""
    for unit in ("d", "h", "m", "s", "ms"):
        # A day is written as 24h, as people name windows; from two days on days are counted.
        if unit == "d" and abs(microseconds) < 2 * MICROSECONDS["d"]:
            continue
        if microseconds and microseconds % MICROSECONDS[unit] == 0:
            return f"{microseconds // MICROSECONDS[unit]}{unit}"
    return f"{microseconds}us" if microseconds else "0s"


def format_age(microseconds: int) -> str:
    """Writes an age in its two largest units: ``'5d 6h'``, ``'3h 20m'``, ``'12s'``."""
    counts: list[tuple[int, str]] = []
    left = abs(microseconds)
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, MICROSECONDS[unit])
        if count or counts:
            counts.append((count, unit))
    told = [f"{count}{unit}" for count, unit in counts[:2] if count]
    return " ".join(told) or "less than 1s"


def parse_instant(text: str) -> int:
    """Reads an ISO 8601 instant or date; one without a zone is taken as UTC.

    Returns:
      Microseconds since 1970-01-01T00:00:00Z.

    Raises:
      ValueError: if it is not such a text.
    """
    try:
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(
            "expected an ISO 8601 time such as '2025-04-17' or '2025-04-17T06:00:00Z'"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def format_instant(microseconds: int) -> str:
    """Writes an instant as ISO 8601 in UTC, such as ``'2025-04-17T06:00:00Z'``."""
    moment = _EPOCH + datetime.timedelta(microseconds=int(microseconds))
    return moment.isoformat().replace("+00:00", "Z")


def _positive(value: int) -> int:
    if value <= 0:
        raise ValueError("expected a duration above zero, such as '3h'")
    return value


SignedDuration = Annotated[
    int,
    pydantic.BeforeValidator(parse_duration),
    pydantic.PlainSerializer(format_duration, return_type=str),
]
"""A pydantic field: text such as ``'-90s'`` in YAML and JSON, ``int`` microseconds in Python."""

Duration = Annotated[SignedDuration, pydantic.AfterValidator(_positive)]
"""As SignedDuration, above zero."""
