"""tf.Examples from Arrow columns, a column at a time.

An Example is a map from names to lists of values. A protobuf library builds that map anew for each
row, which costs more than all else on the way from a source to a file. Here what a column
contributes to all rows is made at once, and Arrow's ``binary_join_element_wise`` puts the rows
together: each of a row's features is a head, which depends on no more than the payload's length,
and the payload. Features stand sorted by name: the same rows are the same bytes, and compress
better.

The messages are those of
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto
in the encoding of https://protobuf.dev/programming-guides/encoding
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingest.byte_strings import (
    RECORD,
    Ints,
    by_length,
    byte_strings,
    join,
    lengths_of,
    offsets_of,
)

_FIELD_1, _FIELD_2 = b"\x0a", b"\x12"
_BYTES, _FLOATS, _INTS = b"\x0a", b"\x12", b"\x1a"
_MISSING = -1


def encode(batch: pa.RecordBatch) -> pa.LargeBinaryArray:
    """Serializes rows as tf.Examples.

    Args:
      batch: n rows of ``large_list`` columns of int64, float32 or (large) binary without null
        values; a null list, or a column of type null, is a feature without values.

    Returns:
      n serialized Examples.
    """
    if not batch.num_rows:
        return pa.array([], RECORD)
    pieces: list[Any] = []
    lengths = np.zeros(batch.num_rows, np.int64)
    for name, column in sorted(zip(batch.schema.names, batch.columns, strict=True)):
        head, payload = _feature(name.encode(), column)
        pieces += [head, payload]
        lengths += lengths_of(head) + lengths_of(payload)
    heads = by_length(lengths, lambda length: _FIELD_1 + _varint(length))
    return join([heads, *pieces], batch.num_rows)


def _feature(name: bytes, column: pa.Array) -> tuple[Any, Any]:
    """What a column adds to each row: heads, and payloads."""
    key = _delimited(_FIELD_1, name)
    missing = _delimited(_FIELD_1, key + _FIELD_2 + b"\x00")
    if pa.types.is_null(column.type) or column.null_count == len(column):
        return pa.scalar(missing, RECORD), pa.scalar(b"", RECORD)
    kind, payload = _payload(column)

    def head(length: int) -> bytes:
        if length == _MISSING:
            return missing
        # Numbers are packed: their list is one field of its own. Byte strings are a field each.
        packed = _FIELD_1 + _varint(length) if length and kind != _BYTES else b""
        values = kind + _varint(len(packed) + length) + packed
        feature = key + _FIELD_2 + _varint(len(values) + length) + values
        return _FIELD_1 + _varint(len(feature) + length) + feature

    lengths = lengths_of(payload)
    if column.null_count:
        lengths = np.where(column.is_valid().to_numpy(zero_copy_only=False), lengths, _MISSING)
    return by_length(lengths, head), payload


def _payload(column: pa.Array) -> tuple[bytes, pa.LargeBinaryArray]:
    """A column's kind of list, and each row's values in it."""
    rows = offsets_of(column)
    values = column.values
    if pa.types.is_floating(values.type):
        data = np.ascontiguousarray(values.to_numpy(), "<f4")
        return _FLOATS, byte_strings(4 * rows, pa.py_buffer(data))
    if pa.types.is_integer(values.type):
        offsets, data = _varints(values.to_numpy())
        return _INTS, byte_strings(offsets[rows], pa.py_buffer(data))
    texts = values.cast(RECORD)
    heads = by_length(lengths_of(texts), lambda length: _FIELD_1 + _varint(length))
    fields = join([heads, texts], len(texts)) if len(texts) else texts
    return _BYTES, byte_strings(offsets_of(fields)[rows], fields.buffers()[2])


def _varints(values: Ints) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """Each integer in groups of seven bits, lowest first; all bytes but its last have bit 7 set.

    Returns:
      Where each begins and ends, int64[n+1]; and the bytes of all.
    """
    bits = values.view(np.uint64)
    width = max(1, -(-int(bits.max(initial=0)).bit_length() // 7))
    sizes = np.ones(len(bits), np.int64)
    groups = np.empty((len(bits), width), np.uint8)
    for place in range(width):
        rest = bits >> np.uint64(7 * place)
        more = rest > np.uint64(0x7F)
        groups[:, place] = np.where(more, rest | np.uint64(0x80), rest)
        sizes += more
    offsets = np.zeros(len(bits) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    if offsets[-1] == groups.size:
        return offsets, groups.reshape(-1)
    return offsets, groups[np.arange(width) < sizes[:, None]]


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _delimited(tag: bytes, data: bytes) -> bytes:
    return tag + _varint(len(data)) + data
