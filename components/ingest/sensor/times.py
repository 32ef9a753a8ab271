"""Times as sensor files write them, read into microseconds since the epoch, columns at a time."""

import datetime
import functools
import zoneinfo
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import MICROSECONDS

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_UNITS = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
_DATE = (
    r"\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|[12]\d))"
)
_CLOCK = r"(?:[T ](?:[01]\d|2[0-3])(?::[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?)?)?"
_ZONE = r"(?:Z|[+-](?:[01]\d|2[0-3]):?(?:[0-5]\d)?)"
_LATEST_YEAR = 2200
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Times(NamedTuple):
    """Instants of a column, int64[n] microseconds (0 where there is none).

    ``missing`` marks rows without a time, ``bad`` those whose time can't be read; bool[n], or None
    where there are none.
    """

    instants: Ints
    missing: Bools | None
    bad: Bools | None


def parse_times(column: pa.Array, unit: str | None, timezone: str) -> Times:
    """Reads a column of times.

    Text is ISO 8601, with or without fraction (digits below the microsecond are cut) and zone;
    numbers, also as text, count ``unit`` since the epoch; timestamps and dates are taken as they
    are. What has no zone is local time in ``timezone``: a time that occurs twice, when clocks
    are set back, is read as the first of the two, and one that never occurs is bad.

    Args:
      column: text, numbers, timestamps or dates.
      unit: s, ms, us or ns; None if times are no numbers.
      timezone: IANA name.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    missing = _mask(column.is_null()) if column.null_count else None
    bad: Bools | None = None
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        local, bad = _timestamps(column)
        aware = pa.types.is_timestamp(kind) and kind.tz is not None
        instants, unreal = (local, None) if aware else to_utc(local, timezone)
        bad = _either(bad, unreal)
    elif pa.types.is_null(kind):
        instants = np.zeros(len(column), np.int64)
    elif unit is not None:
        instants, bad = _epochs(column, unit)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        instants, bad, empty = _iso(column, timezone)
        missing = _either(missing, empty)
    else:
        # A number without a unit: nothing tells what it counts.
        instants, bad = np.zeros(len(column), np.int64), np.ones(len(column), bool)
    if bad is not None and missing is not None:
        bad = bad & ~missing
    return Times(instants, _some(missing), _some(bad))


def to_utc(local: Ints, timezone: str) -> tuple[Ints, Bools | None]:
    """Turns local times into instants.

    Args:
      local: int64[n], microseconds from 1970-01-01T00:00 on the local clock.
      timezone: IANA name.

    Returns:
      The instants, and bool[n] marking times that never occurred there (None if there are none).
    """
    if timezone == "UTC" or not len(local):
        return local, None
    low, high = int(local.min()), int(local.max())
    first, last = (_year(value) for value in (low, high))
    turns, offsets = _transitions(timezone, first - 1, last + 1)
    before, after = offsets[:-1], offsets[1:]
    # The old offset holds until the later of the two local readings of the turn.
    place = np.searchsorted(turns + np.maximum(before, after), local, side="right")
    # A gap: the local clock jumps over [turn + before, turn + after).
    forward = after > before
    unreal = None
    for turn, old, new in zip(turns[forward], before[forward], after[forward], strict=True):
        inside = (local >= turn + old) & (local < turn + new)
        if inside.any():
            unreal = inside if unreal is None else unreal | inside
    return local - offsets[place], unreal


@functools.lru_cache(maxsize=64)
def _transitions(timezone: str, first: int, last: int) -> tuple[Ints, Ints]:
    """When a zone's offset changes within the years: instants[k] and offsets[k + 1], µs."""
    zone = zoneinfo.ZoneInfo(timezone)

    def offset(instant: int) -> int:
        moment = _EPOCH + datetime.timedelta(microseconds=instant)
        shift = moment.astimezone(zone).utcoffset() or datetime.timedelta()
        return shift // datetime.timedelta(microseconds=1)

    day, second = MICROSECONDS["d"], MICROSECONDS["s"]
    begin = (datetime.datetime(first, 1, 1, tzinfo=datetime.timezone.utc) - _EPOCH).days
    end = (datetime.datetime(last + 1, 1, 1, tzinfo=datetime.timezone.utc) - _EPOCH).days
    known = offset(begin * day)
    turns, offsets = [], [known]
    for number in range(begin, end):
        new = offset((number + 1) * day)
        if new == known:
            continue
        low, high = number * day, (number + 1) * day
        while high - low > second:
            middle = (low + high) // 2 // second * second
            low, high = (middle, high) if offset(middle) == known else (low, middle)
        turns.append(high)
        offsets.append(new)
        known = new
    return np.array(turns, np.int64), np.array(offsets, np.int64)


def _year(microseconds: int) -> int:
    year = 1970 + microseconds // (365 * MICROSECONDS["d"] + MICROSECONDS["h"] * 6)
    return min(max(year, 2), _LATEST_YEAR)


def _timestamps(column: pa.Array) -> tuple[Ints, Bools | None]:
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    unit = column.type.unit
    numbers = _ints(column.cast(pa.int64()))
    scale, divisor = _UNITS[unit]
    bad = np.abs(numbers) > np.iinfo(np.int64).max // (2 * scale) if scale > 1 else None
    with np.errstate(over="ignore"):
        return (numbers // divisor if divisor > 1 else numbers * scale), _some(bad)


def _epochs(column: pa.Array, unit: str) -> tuple[Ints, Bools | None]:
    scale, divisor = _UNITS[unit]
    if not pa.types.is_integer(column.type):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:
            # Counts with a fraction, or text that is no number.
            from components.ingest.sensor.numbers import to_floats

            numbers, bad = to_floats(column)
            finite = np.isfinite(numbers) & (np.abs(numbers) < 2**62 / scale)
            microseconds = np.where(finite, numbers, 0) * (scale / divisor)
            unread = ~finite if bad is None else bad | ~finite
            return np.round(microseconds).astype(np.int64), unread
    whole = _ints(column.cast(pa.int64(), safe=False))
    bad = np.abs(whole) > 2**62 // scale if scale > 1 else None
    if bad is not None:
        whole = np.where(bad, 0, whole)
    return whole // divisor if divisor > 1 else whole * scale, _some(bad)


def _iso(column: pa.Array, timezone: str) -> tuple[Ints, Bools | None, Bools | None]:
    plain = pa.timestamp("us")
    zoned = pa.timestamp("us", "UTC")
    sample = next((value.as_py() for value in column[:100] if value.is_valid), "")
    order = (zoned, plain) if sample[-1:] == "Z" or sample[-6:-5] in ("+", "-") else (plain, zoned)
    for kind in order:
        try:
            numbers = _ints(column.cast(kind).cast(pa.int64()))
        except pa.ArrowInvalid:
            continue
        if kind is zoned:
            return numbers, None, None
        instants, unreal = to_utc(numbers, timezone)
        return instants, unreal, None
    return _iso_mixed(column, timezone)


def _iso_mixed(column: pa.Array, timezone: str) -> tuple[Ints, Bools, Bools]:
    """Texts of several forms, some of them unreadable: sorted out by regular expression."""
    text = pc.utf8_trim_whitespace(column)
    text = pc.replace_substring_regex(text, r"^(.*\.\d{6})\d+", r"\1")
    empty = _mask(pc.fill_null(pc.equal(text, ""), False))
    leap_bad = _leap_day_in_common_year(text)
    instants = np.zeros(len(column), np.int64)
    bad = ~empty
    for form, kind in (
        (f"^{_DATE}{_CLOCK}$", pa.timestamp("us")),
        (f"^{_DATE}{_CLOCK}{_ZONE}$", pa.timestamp("us", "UTC")),
    ):
        fits = _mask(pc.fill_null(pc.match_substring_regex(text, form), False)) & ~leap_bad
        if not fits.any():
            continue
        picked = text.filter(pa.array(fits))
        if kind.tz is not None:
            picked = pc.replace_substring_regex(picked, "Z$", "+00:00")
        numbers = _ints(picked.cast(kind).cast(pa.int64()))
        unreal = None
        if kind.tz is None:
            numbers, unreal = to_utc(numbers, timezone)
        instants[fits] = numbers
        bad[fits] = False if unreal is None else unreal
    return instants, bad, empty


def _leap_day_in_common_year(text: pa.Array) -> Bools:
    leap_day = _mask(pc.fill_null(pc.match_substring_regex(text, r"^\d{4}-02-29"), False))
    if leap_day.any():
        years = _ints(pc.utf8_slice_codeunits(text.filter(pa.array(leap_day)), 0, 4).cast("int64"))
        leap_day[leap_day] = ~((years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0)))
    return leap_day


def _ints(column: pa.Array) -> Ints:
    if column.null_count:
        column = pc.fill_null(column, 0)
    return column.to_numpy(zero_copy_only=False)


def _mask(column: pa.Array) -> Bools:
    return np.array(column.to_numpy(zero_copy_only=False), bool)


def _either(a: Bools | None, b: Bools | None) -> Bools | None:
    if a is None or b is None:
        return b if a is None else a
    return a | b


def _some(mask: Bools | None) -> Bools | None:
    return mask if mask is not None and mask.any() else None
