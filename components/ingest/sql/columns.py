"""From rows of Python values to Arrow columns: the type map of SQL sources.

==========  ==============================================================  ====================
Kind        Column types                                                    Arrow, then Example
==========  ==============================================================  ====================
int         integers, unsigned and big ones within int64, years, MySQL BIT  int64
float       floats, decimals (rounded to a double; NaN is missing)          float64 → float32
bool        booleans                                                        bool → int64 0 or 1
text        text, enum, set, UUID, JSON as its text, XML, inet, citext      string → bytes
bytes       binary                                                          binary → bytes
time        timestamps, zoned or naive, and dates (``timezone``'s           int64, µs since epoch
            midnight); any column under ``time``, ``known_at`` or
            ``types: {column: time}``, from ISO 8601 text or numbers
clock       times of day                                                    int64, µs
span        intervals (a month counts 30 days, a year 365), MySQL TIME      int64, µs
list<kind>  one-dimensional arrays of these, without NULL inside            list
==========  ==============================================================  ====================

NULL is a missing value. All else (geometry, ranges, composite types, arrays of arrays, zoned times
of day, money, bit strings) is an error that asks for a cast in the query.

A column's kind is settled before rows are converted, and stays: from the driver's type where there
is one (PostgreSQL, MySQL), else from the values (SQLite; see ``reading.py``). A later value of
another kind is an error naming its row, unless it fits without loss: an integer in a float column,
2.0 in an integer column. ``types:`` settles the kind and also converts: text to numbers, 0 and 1 to
bool.
"""

import decimal
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.errors import DataError, shorten
from components.ingest.plan import Column, arrow_type
from components.ingest.source import RowSource
from components.ingest.sql.times import UnfitError, to_microseconds

_NUMBERS = (int, float, decimal.Decimal, type(None))
_UNFIT = (
    UnfitError,
    pa.ArrowInvalid,
    pa.ArrowTypeError,
    pa.ArrowNotImplementedError,
    OverflowError,
    UnicodeError,
)


def kind_of_values(values: Sequence[Any]) -> str | None:
    """The kind that Python values show: ``'null'`` if all are None; None if it has no place."""
    try:
        raw = pa.array(values)
    except _UNFIT:
        # Values of several kinds: the first one settles it, and converting names the first other.
        first = next(value for value in values if value is not None)
        if isinstance(first, uuid.UUID):
            return "text"
        try:
            raw = pa.array([first])
        except _UNFIT:
            # An integer past int64 is one still: converting says so.
            return "int" if isinstance(first, int) else None
    return _kind_of_arrow(raw.type)


def to_batch(
    name: str,
    source: RowSource,
    columns: Sequence[Column],
    rows: Sequence[Any],
    first_row: int,
    key: str | None = None,
) -> pa.RecordBatch:
    """Converts rows.

    Args:
      name: the source's name, for messages.
      source: its settings.
      columns: the result's columns.
      rows: n tuples of Python values.
      first_row: the first one's number in the result, from 1.
      key: what the rows' last value is called, if it is no column and only tells rows apart in
        messages.

    Returns:
      A batch of n rows; its schema depends on ``columns`` only.

    Raises:
      DataError: for a value that does not fit its column, or a NULL where one is required.
    """
    values = list(zip(*rows, strict=True))
    return columns_to_batch(name, source, columns, values, first_row, key)


def columns_to_batch(
    name: str,
    source: RowSource,
    columns: Sequence[Column],
    transposed: Sequence[Any],
    first_row: int,
    key: str | None = None,
) -> pa.RecordBatch:
    """As ``to_batch``, of values that stand by column: Arrow arrays, or sequences of values."""
    arrays = []
    for position, column in enumerate(columns):
        values = transposed[position]
        try:
            array = _convert(values, column, source)
        except _UNFIT as error:
            at = _first_unfit(values, column, source)
            told = _told(source, columns, transposed, at, column, key)
            where = f"column {column.name!r}, row {first_row + at}{told}"
            raise _unfit(source, name, column, _value(values[at]), where, error) from None
        if column.required and array.null_count:
            at = pc.index(array.is_null(), True).as_py()
            told = _told(source, columns, transposed, at, column, key)
            raise DataError(
                name,
                f"column {column.name!r}, row {first_row + at}{told}",
                "it is NULL, but every row needs its entity and its time",
                source.filter_hint.format(column=column.name),
            )
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _inner(kind: str) -> str | None:
    """The kind of a list's values; None for what is no list."""
    return kind[len("list<") : -1] if kind.startswith("list<") else None


def _kind_of_arrow(kind: pa.DataType) -> str | None:
    if pa.types.is_list(kind):
        inner = _kind_of_arrow(kind.value_type)
        return f"list<{inner}>" if inner and not inner.startswith("list<") else None
    for test, found in (
        (pa.types.is_null, "null"),
        (pa.types.is_boolean, "bool"),
        (pa.types.is_integer, "int"),
        (pa.types.is_floating, "float"),
        (pa.types.is_decimal, "float"),
        (pa.types.is_string, "text"),
        (pa.types.is_binary, "bytes"),
        (pa.types.is_timestamp, "time"),
        (pa.types.is_date, "time"),
        (pa.types.is_time, "clock"),
        (pa.types.is_duration, "span"),
    ):
        if test(kind):
            return found
    return None


def _convert(values: Any, column: Column, source: RowSource) -> pa.Array:
    raw = _raw(values, column)
    if isinstance(raw, pa.ChunkedArray):
        raise UnfitError("a batch of this column is above 2 GB: lower the source's batch_rows")
    if pa.types.is_null(raw.type):
        return pa.nulls(len(raw), column.arrow_type)
    inner = _inner(column.kind)
    if inner is not None and pa.types.is_list(raw.type):
        inside = raw.flatten()
        if inside.null_count:
            raise UnfitError("an array must not hold NULL")
        if pa.types.is_list(inside.type):
            raise UnfitError("an array must not hold arrays")
        converted = _finish(inside, inner, column.converts, source)
        return pa.Array.from_buffers(
            column.arrow_type, len(raw), raw.buffers()[:2], children=[converted]
        )
    return _finish(raw, column.kind, column.converts, source)


def _value(value: Any) -> Any:
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _raw(values: Any, column: Column) -> pa.Array:
    if isinstance(values, pa.Array):
        encoded = pa.types.is_dictionary(values.type)
        return values.cast(values.type.value_type) if encoded else values
    try:
        # Without a type: told one, Arrow would cut 2.5 to 2 and take a number for a time.
        return pa.array(values)
    except _UNFIT:
        if column.kind == "float" and all(isinstance(v, _NUMBERS) for v in values):
            return pa.array([None if v is None else float(v) for v in values], pa.float64())
        if column.kind == "text" or column.converts:
            return _texts(values, column)
        raise


def _texts(values: Sequence[Any], column: Column) -> pa.Array:
    """Values of several types, or of a type that Arrow does not know, one by one."""
    known = (str, uuid.UUID) if not column.converts else (str, uuid.UUID, int, float)
    for value in values:
        if value is not None and not isinstance(value, known):
            raise UnfitError(f"it is of type {type(value).__name__}")
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _finish(raw: pa.Array, kind: str, converts: bool, source: RowSource) -> pa.Array:
    if pa.types.is_null(raw.type):
        return pa.nulls(len(raw), arrow_type(kind))
    if kind == "time":
        return to_microseconds(raw, source.timezone, source.time_unit)
    found = _kind_of_arrow(raw.type)
    if kind == "float" and found == "int":
        return raw.cast(pa.float64(), safe=False)
    if kind == "int" and found == "float":
        return raw.cast(pa.int64())
    if kind == "clock" and found == "clock":
        return raw.cast(pa.time64("us"), safe=False).cast(pa.int64())
    if kind == "span" and found == "span":
        return raw.cast(pa.duration("us"), safe=False).cast(pa.int64())
    if found == kind:
        return raw.cast(arrow_type(kind))
    if converts and found is not None:
        return _convert_kind(raw, kind)
    raise UnfitError(f"it is {found or 'of no known kind'}")


def _convert_kind(raw: pa.Array, kind: str) -> pa.Array:
    if pa.types.is_string(raw.type) and kind != "text":
        raw = pc.utf8_trim_whitespace(raw)
    if kind == "bool" and not pa.types.is_string(raw.type):
        counted = raw.cast(pa.int64())
        if not pc.all(
            pc.fill_null(pc.or_(pc.equal(counted, 0), pc.equal(counted, 1)), True)
        ).as_py():
            raise UnfitError("expected 0 or 1")
        return counted.cast(pa.bool_())
    return raw.cast(arrow_type(kind))


def _first_unfit(values: Any, column: Column, source: RowSource) -> int:
    """The position of the first value that does not convert."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _convert(values[low:middle], column, source)
        except _UNFIT:
            high = middle
            continue
        try:
            _convert(values[middle:high], column, source)
        except _UNFIT:
            low = middle
            continue
        # Each half fits alone, so they differ in kind: the second half's first value is other.
        return next(i for i in range(middle, high) if _value(values[i]) is not None)
    return low


def _told(
    source: RowSource,
    columns: Sequence[Column],
    transposed: Sequence[Any],
    at: int,
    but: Column,
    key: str | None,
) -> str:
    """What tells a row from others, for messages: its entity, its time and its own key."""
    held = dict(zip([column.name for column in columns], transposed, strict=False))
    told = {name: held[name] for name in held if name in (source.entity, source.time)}
    told |= {key: transposed[-1]} if key else {}
    told.pop(but.name, None)
    shown = ", ".join(f"{name} {shorten(_value(v[at]), 40)}" for name, v in told.items())
    return f" ({shown})" if shown else ""


def _unfit(
    source: RowSource, name: str, column: Column, value: Any, where: str, error: Exception
) -> DataError:
    said = str(error) if isinstance(error, UnfitError) else _rule(column, value)
    if column.kind == "time":
        mend = "Mend the value, or leave such rows out in the query"
        rule = said
    elif column.converts:
        rule = f"types: says that this column is {column.kind}, and this cannot be read as one"
        mend = "Mend the value or leave such rows out in the query, or change types:"
    else:
        rule = f"this column is read as {column.kind}; {said}"
        mend = (
            f"{source.cast_hint.format(column=column.name)}, or set types: "
            f"{{{column.name}: text}} or another type in the source"
        )
    return DataError(name, where, rule, mend, value)


def _rule(column: Column, value: Any) -> str:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "it does not fit into 64 bits with a sign"
    if column.kind == "int" and isinstance(value, float):
        return "it has a fraction"
    return f"it is {kind_of_values([value]) or type(value).__name__}"
