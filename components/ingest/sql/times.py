"""Columns of times, in whatever form a database gives them, as microseconds since the epoch."""

import contextlib

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import MICROSECONDS
from components.ingest.sql.connect import is_utc

_NAIVE = pa.timestamp("us")
_UTC = pa.timestamp("us", "UTC")
_OFFSET = r":\d{2}(\.\d+)?(Z|[+-]\d{2}(:?\d{2})?)$"
ISO = "expected an ISO 8601 time such as '2025-04-17 06:00:00' or '2025-04-17T06:00:00Z'"


class UnfitError(ValueError):
    """Values that don't fit their column; the message is the rule."""


def to_microseconds(raw: pa.Array, zone: str, unit: str | None) -> pa.Array:
    """Reads times.

    Args:
      raw: timestamps, dates, ISO 8601 text, or numbers counted in ``unit`` since the epoch; n
        values with nulls.
      zone: where naive times and dates are read; a time that a clock shows twice is the earlier
        one, one that it leaps over is the leap's end.
      unit: ``'s'``, ``'ms'``, ``'us'`` or None where numbers are no times.

    Returns:
      int64[n], microseconds since 1970-01-01T00:00:00Z.

    Raises:
      UnfitError: for other types, and text that is no time.
    """
    kind = raw.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _parse(raw, zone)
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            return raw.cast(_UTC, safe=False).cast(pa.int64())
        return _localize(raw.cast(_NAIVE, safe=False), zone)
    if pa.types.is_date(kind):
        return _localize(raw.cast(_NAIVE), zone)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        if unit is None:
            raise UnfitError(
                "a number is no time unless the source's time_unit says what it counts: s, ms or us"
            )
        try:
            if pa.types.is_integer(kind):
                return pc.multiply_checked(raw.cast(pa.int64()), MICROSECONDS[unit])
            return pc.round(pc.multiply(raw.cast(pa.float64()), float(MICROSECONDS[unit]))).cast(
                pa.int64()
            )
        except pa.ArrowInvalid as error:
            raise UnfitError(f"it is too far from 1970 for time_unit {unit!r}") from error
    raise UnfitError(ISO)


def _parse(raw: pa.Array, zone: str) -> pa.Array:
    with contextlib.suppress(pa.ArrowInvalid):
        return _localize(raw.cast(_NAIVE), zone)
    zoned = pc.fill_null(pc.match_substring_regex(raw, _OFFSET), False)
    count = pc.sum(zoned).as_py() or 0
    if count == 0:
        return _localize(_cast(raw, _NAIVE), zone)
    if count == len(raw) - raw.null_count:
        return _cast(raw, _UTC).cast(pa.int64())
    none = pa.scalar(None, raw.type)
    return pc.coalesce(
        _cast(pc.if_else(zoned, raw, none), _UTC).cast(pa.int64()),
        _localize(_cast(pc.if_else(zoned, none, raw), _NAIVE), zone),
    )


def _cast(raw: pa.Array, to: pa.DataType) -> pa.Array:
    try:
        return raw.cast(to)
    except pa.ArrowInvalid:
        # Nanoseconds are cut, not refused: a microsecond is what the pipeline counts in.
        cut = pc.replace_substring_regex(raw, r"(\.\d{6})\d+", r"\1")
        try:
            return cut.cast(to)
        except pa.ArrowInvalid as error:
            raise UnfitError(ISO) from error


def _localize(naive: pa.Array, zone: str) -> pa.Array:
    if is_utc(zone):
        return naive.cast(pa.int64())
    return pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="latest").cast(
        pa.int64()
    )
