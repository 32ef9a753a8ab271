"""Arrow columns as the lists that a tf.Example knows, and plain columns again.

============================  =========================================================
Arrow column                  tf.Example feature
============================  =========================================================
integers, boolean             int64 list of one; an unsigned value above int64 is an error
floats, decimal               float list of one, as float32; NaN is a missing value
string, binary, dictionary    bytes list of one, text as UTF-8
timestamp, date               int64 list of one: microseconds since the epoch
time, duration                int64 list of one: microseconds
list of any of these          list of its values; a null inside a list is an error
null in a row                 feature without values
============================  =========================================================
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def to_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Columns as tf.Examples hold them (see the module's table).

    Args:
      batch: n rows; names must differ.

    Returns:
      ``large_list`` columns of int64, float32 or (large) binary; null lists are missing values.

    Raises:
      ValueError: for a column that has no place in a tf.Example; the message names it.
    """
    if len(set(batch.schema.names)) < len(batch.schema.names):
        raise ValueError(f"column names must differ: {', '.join(batch.schema.names)}")
    columns = [
        to_list(name, column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def flatten(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Turns list columns with at most one value a row into plain columns with nulls.

    Returns:
      The same rows; int64, float32 or binary columns, null where a row has no value. Columns where
      some row has two or more values stay lists; null columns stay null.
    """
    return pa.RecordBatch.from_arrays(
        [_flatten(column) for column in batch.columns], names=batch.schema.names
    )


def as_read(batch: pa.RecordBatch) -> pa.RecordBatch:
    """What ``flatten`` gives of rows that were written as tf.Examples and read again.

    Nothing is written: this is cheap for a few rows, too.

    Args:
      batch: n rows.

    Returns:
      The same rows and columns; a column without any value is of type null.

    Raises:
      ValueError: for a column that has no place in a tf.Example; the message names it.
    """
    columns = [
        _as_read(name, column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def to_list(name: str, column: pa.Array) -> pa.Array:
    """One column of ``to_lists``."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = _to_feature(name, column.flatten())
        if values.null_count:
            raise ValueError(f"column {name!r}: a list holds a null, which tf.Example cannot")
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        return _lists(column.is_valid(), lengths, values)
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.large_list(pa.float32()))
    values = _to_feature(name, column)
    if not values.null_count:
        return pa.LargeListArray.from_arrays(pa.array(np.arange(len(values) + 1)), values)
    valid = values.is_valid()
    return _lists(valid, valid.to_numpy(zero_copy_only=False), values.drop_null())


def _lists(valid: pa.Array, lengths: np.ndarray, values: pa.Array) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    bitmap = valid.buffers()[1] if valid.offset == 0 else pa.array(valid.to_pylist()).buffers()[1]
    return pa.Array.from_buffers(
        pa.large_list(values.type),
        len(lengths),
        [bitmap, pa.py_buffer(offsets)],
        children=[values],
    )


def _to_feature(name: str, values: pa.Array) -> pa.Array:
    """Values as int64, float32 or binary."""
    kind = values.type
    try:
        if pa.types.is_dictionary(kind):
            values = values.dictionary_decode()
            kind = values.type
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return values.cast(pa.int64())
        if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
            floats = values.cast(pa.float32(), safe=False)
            return pc.if_else(pc.is_nan(floats), pa.scalar(None, pa.float32()), floats)
        if pa.types.is_string(kind) or pa.types.is_binary(kind):
            return values.cast(pa.binary())
        if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
            return values.cast(pa.large_binary())
        if pa.types.is_timestamp(kind):
            return values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        if pa.types.is_date(kind):
            return values.cast(pa.timestamp("us")).cast(pa.int64())
        if pa.types.is_time(kind):
            return values.cast(pa.time64("us"), safe=False).cast(pa.int64())
        if pa.types.is_duration(kind):
            return values.cast(pa.duration("us"), safe=False).cast(pa.int64())
        if pa.types.is_null(kind):
            return values.cast(pa.float32())
    except pa.ArrowInvalid as error:
        raise ValueError(f"column {name!r} of type {kind}: {error}") from error
    raise ValueError(f"column {name!r} of type {kind} has no place in a tf.Example")


def _flatten(column: pa.Array) -> pa.Array:
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return column
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    if len(lengths) and lengths.max() > 1:
        return column
    values = _short(column.flatten())
    if len(values) == len(column):
        return values
    present = lengths > 0
    index = pa.array(np.cumsum(present) - 1, mask=~present)
    return values.take(index)


def _as_read(name: str, column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = _flatten(to_list(name, column))
    else:
        column = values = _short(_to_feature(name, column))
    return pa.nulls(len(column)) if column.null_count == len(column) else values


def _short(values: pa.Array) -> pa.Array:
    """Byte strings under 2 GB in all with offsets of four bytes, as other libraries take them."""
    short = pa.types.is_large_binary(values.type) and values.nbytes < 2**31
    return values.cast(pa.binary()) if short else values
