"""Arrow columns from tf.Examples, a column at a time, where the Examples are alike.

A parser that takes each record by itself spends most of its time on finding out, again and again,
which features there are. Records that ``example_encoder`` wrote name the same features in the same
order: the first record tells which, and then all records are read side by side, one field of all at
a time. What is found is checked against what must be there; where anything differs, as it may in
files of another writer, ``decode`` says so by None and tfx_bsl's decoder reads the records.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingest.byte_strings import RECORD, Ints, byte_strings

_KINDS = {0x0A: RECORD, 0x12: pa.float32(), 0x1A: pa.int64()}
_FIELD_1, _FIELD_2 = 0x0A, 0x12
_LONGEST = 10
"""Bytes of the longest varint: ten groups of seven bits."""


class _OtherError(Exception):
    """The records are not alike, or not written as ``example_encoder`` writes."""


def decode(data: bytes, lengths: Ints) -> pa.RecordBatch | None:
    """Decodes serialized tf.Examples.

    Args:
      data: n records, one after the other.
      lengths: int64[n], how long each is.

    Returns:
      Columns of ``large_list``, as tfx_bsl's decoder gives them, sorted by name; None if the
      records don't name the same features in one order, or some feature has several values.
    """
    try:
        return _decode(_Records(data, lengths))
    except (_OtherError, IndexError, UnicodeDecodeError):
        return None


class _Records:
    """Records read side by side: ``at`` is where the next field of each begins, int64[n]."""

    def __init__(self, data: bytes, lengths: Ints) -> None:
        # Past the end stand zeros: reading eight bytes anywhere stays inside.
        self.padded = data + bytes(2 * _LONGEST)
        self.bytes = np.frombuffer(self.padded, np.uint8)
        self._words: npt.NDArray[np.uint64] = np.ndarray(
            (len(self.padded) - 7,), np.dtype("<u8"), self.padded, strides=(1,)
        )
        self.end = np.cumsum(lengths)
        self.at = self.end - lengths

    def expect(self, text: bytes) -> None:
        """Steps over bytes that are the same in all records."""
        for begin in range(0, len(text), 8):
            part = text[begin : begin + 8]
            found = self._words[self.at] & np.uint64((1 << 8 * len(part)) - 1)
            _check((found == np.uint64(int.from_bytes(part, "little"))).all())
            self.at = self.at + len(part)

    def varint(self) -> Ints:
        """Reads a length."""
        first = self.bytes[self.at]
        if (first < 0x80).all():
            self.at = self.at + 1
            return first.astype(np.int64)
        value, size = self.varints(self.at)
        self.at = self.at + size
        _check((value >= 0).all() and (value <= len(self.padded)).all())
        return value

    def varints(self, at: Ints) -> tuple[Ints, Ints]:
        """Varints at places of their own: the values, and how many bytes each takes."""
        value = np.zeros(len(at), np.uint64)
        size = np.ones(len(at), np.int64)
        more = np.ones(len(at), bool)
        for place in range(_LONGEST):
            group = self.bytes[at + place]
            np.bitwise_or(
                value,
                (group & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place),
                out=value,
                where=more,
            )
            more &= group >= 0x80
            if not more.any():
                return value.view(np.int64), size
            size += more
        raise _OtherError

    def floats(self, at: Ints) -> npt.NDArray[np.float32]:
        """Float values at places of their own."""
        return self._words[at].astype(np.uint32).view(np.float32)

    def byte_strings(self, at: Ints, lengths: Ints) -> pa.LargeBinaryArray:
        """Byte strings at ascending places of their own."""
        # Between each two lies what is not wanted: one array over both, of which every second
        # element is taken.
        cuts = np.stack([at, at + lengths], axis=1).reshape(-1)
        every = byte_strings(cuts, pa.py_buffer(self.padded))
        return every.take(pa.array(np.arange(0, 2 * len(at), 2)))


def _decode(records: _Records) -> pa.RecordBatch:
    records.expect(bytes([_FIELD_1]))
    _check((records.varint() == records.end - records.at).all())
    columns: dict[str, pa.Array] = {}
    while (records.at < records.end).any():
        _check((records.at < records.end).all())
        records.expect(bytes([_FIELD_1]))
        end = records.varint() + records.at
        key = _key(records)
        _check(key not in columns)
        records.expect(bytes([_FIELD_2]))
        _check((records.varint() + records.at == end).all())
        columns[key] = _column(records, end)
        records.at = end
    _check((records.at == records.end).all())
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in sorted(columns)], names=sorted(columns)
    )


def _key(records: _Records) -> str:
    """A feature's name, which the first record tells."""
    begin = int(records.at[0])
    length = int(records.bytes[begin + 1])
    # Names of 128 bytes and more have longer lengths.
    _check(length < 0x80)
    name = records.padded[begin + 2 : begin + 2 + length]
    records.expect(bytes([_FIELD_1, length]) + name)
    return name.decode()


def _column(records: _Records, end: Ints) -> pa.Array:
    """The feature that begins at each record's place: a list of one value, of none, or null."""
    _check((end <= records.end).all())
    present = records.at < end
    where = np.flatnonzero(present)
    if not len(where):
        return pa.nulls(len(present))
    tag = int(records.bytes[records.at[where[0]]])
    _check(tag in _KINDS)
    inside = _Part(records, records.at[where], end[where])
    inside.expect(bytes([tag]))
    _check((inside.varint() + inside.at == inside.end).all())
    filled = inside.at < inside.end
    if not filled.all():
        inside = _Part(records, inside.at[filled], inside.end[filled])
    values = _values(inside, tag) if len(inside.at) else pa.array([], _KINDS[tag])
    counts = np.zeros(len(present), np.int64)
    counts[where[filled]] = 1
    offsets = np.zeros(len(present) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    valid = None if present.all() else pa.array(present).buffers()[1]
    return pa.Array.from_buffers(
        pa.large_list(_KINDS[tag]),
        len(present),
        [valid, pa.py_buffer(offsets)],
        children=[values],
    )


class _Part(_Records):
    """Some of the records' lists: where each begins and ends."""

    def __init__(self, whole: _Records, at: Ints, end: Ints) -> None:
        self.padded, self.bytes, self._words = whole.padded, whole.bytes, whole._words
        self.at, self.end = at, end


def _values(lists: _Records, tag: int) -> pa.Array:
    """The one value of each list."""
    lists.expect(bytes([_FIELD_1]))
    length = lists.varint()
    _check((lists.at + length == lists.end).all())
    if tag == 0x0A:
        return lists.byte_strings(lists.at, length)
    if tag == 0x12:
        _check((length == 4).all())
        return pa.array(lists.floats(lists.at))
    value, size = lists.varints(lists.at)
    _check((size == length).all())
    return pa.array(value)


def _check(holds: bool | np.bool_) -> None:
    if not holds:
        raise _OtherError
