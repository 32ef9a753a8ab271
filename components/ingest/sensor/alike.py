"""Blocks of JSONL whose lines are all laid out alike, cut at their commas.

Most of what writes sensor files writes the same keys in the same order with the same blanks, so
that lines differ in their values only. Such a block needs no JSON parser: its values lie between
bytes that repeat, and are made columns all at once, in half the time. Whether it is one is looked
at byte by byte; where there is any doubt the parser reads it, so that nothing is read otherwise.
"""

import json
import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_FIELD = re.compile(rb'([ {]*"([^"\\]+)" *: *)("[^"\\]*"|[^" {}[\]]+)([ }]*)')
_NUMBERS = (pa.int64(), pa.float64())
_LONGEST = 30
_DIGIT, _POINT, _SIGN, _EXPONENT = 1, 2, 3, 4
_KINDS = np.zeros(256, np.uint8)
_KINDS[list(b"0123456789")] = _DIGIT
_KINDS[ord(".")] = _POINT
_KINDS[list(b"+-")] = _SIGN
_KINDS[list(b"eE")] = _EXPONENT


class Layout(NamedTuple):
    """What stands around the values of a line.

    Attributes:
      keys: of the values.
      quoted: which values are text.
      heads: what stands before each value, after the comma before it.
      tails: what stands behind it, before the comma or the line's end.
    """

    keys: list[str]
    quoted: list[bool]
    heads: list[bytes]
    tails: list[bytes]

    @property
    def around(self) -> bytes:
        """A whole line without its values."""
        fields = zip(self.heads, self.tails, strict=True)
        return b",".join(head + tail for head, tail in fields) + b"\n"


def layout_of(line: bytes) -> Layout | None:
    """How a line is laid out; None unless it is an object of numbers, nulls and simple text."""
    fields = [_FIELD.fullmatch(field) for field in line.split(b",")]
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or len(record) != len(fields):
        return None
    layout = Layout([], [], [], [])
    for field in fields:
        if field is None:
            return None
        head, key, value, tail = field.groups()
        quote = b'"' if value.startswith(b'"') else b""
        layout.keys.append(key.decode("utf-8", "replace"))
        layout.quoted.append(bool(quote))
        layout.heads.append(head + quote)
        layout.tails.append(quote + tail)
    return layout if layout.keys == list(record) else None


def parse_alike(block: bytes, count: int, schema: pa.Schema) -> pa.RecordBatch | None:
    """Parses a block whose lines are alike.

    Args:
      block: ``count`` lines of UTF-8.
      count: how many.
      schema: the columns to read.

    Returns:
      What a JSON parser gives for the schema, n rows; None if the lines are not alike, one is not
      valid, or a value is not of its column's type.
    """
    layout = layout_of(block[: block.find(b"\n")])
    if layout is None or b"\\" in block:
        return None
    texts = _cut(block, count, layout)
    if texts is None:
        return None
    columns = {}
    for index, (key, quoted) in enumerate(zip(layout.keys, layout.quoted, strict=True)):
        kind = schema.field(key).type if key in schema.names else None
        if kind is not None and kind not in ((pa.string(),) if quoted else _NUMBERS):
            return None
        if kind is None and quoted:
            continue
        column: pa.Array | None = _every(texts, 2 * index + 1, 2 * len(layout.keys))
        if not quoted:
            column = _read_numbers(column, kind or pa.float64())
        if column is None:
            return None
        columns[key] = column
    arrays = [columns[f.name] if f.name in columns else pa.nulls(count, f.type) for f in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cut(block: bytes, count: int, layout: Layout) -> pa.StringArray | None:
    """What stands around values and the values, by turns, of all lines; None if they differ."""
    data, around = np.frombuffer(block, np.uint8), layout.around
    # Bytes below a blank may not stand within JSON's texts.
    stops = np.flatnonzero((data == ord(",")) | (data < ord(" ")))
    quotes = np.count_nonzero(data == ord('"'))
    if len(stops) != count * len(layout.keys) or quotes != count * around.count(b'"'):
        return None
    begins = np.r_[0, stops[:-1] + 1].reshape(count, -1) + [len(head) for head in layout.heads]
    ends = stops.reshape(count, -1) - [len(tail) for tail in layout.tails]
    if (begins > ends).any():
        return None
    offsets = np.empty(2 * len(stops) + 2, np.int32)
    offsets[0], offsets[-1] = 0, len(data)
    offsets[1:-1:2], offsets[2:-1:2] = begins.ravel(), ends.ravel()
    texts = pa.StringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(block)
    )
    alike = _characters(_every(texts, 0, 2)).equals(pa.py_buffer(around * count))
    return texts if alike else None


def _read_numbers(texts: pa.StringArray, kind: pa.DataType) -> pa.Array | None:
    """Numbers and nulls; None if one is not as JSON writes it, or not of the type."""
    there = texts
    nulls = pc.equal(texts, "null")
    if pc.any(nulls).as_py():
        texts = pc.if_else(nulls, None, texts)
        there = texts.drop_null()
    if not _are_numbers(there):
        return None
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None


def _are_numbers(texts: pa.StringArray) -> bool:
    """Whether JSON knows what Arrow would take for numbers: no ``+1``, ``01``, ``.5``, ``nan``.

    Numbers that may be too big for it (three digits in the exponent) count as none.
    """
    data = np.frombuffer(_characters(texts), np.uint8)
    bounds = np.frombuffer(texts.buffers()[1], np.int32)[: len(texts) + 1]
    begins, ends = bounds[:-1], bounds[1:]
    kinds = _KINDS[data]
    if (begins == ends).any() or (ends - begins > _LONGEST).any() or not kinds.all():
        return False
    lead = begins + (data[begins] == ord("-"))
    points = np.flatnonzero(kinds == _POINT)
    # Digits stand at both ends, so that what stands beside a point is of the same number.
    if (kinds[ends - 1] != _DIGIT).any() or (kinds[lead] != _DIGIT).any():
        return False
    if (kinds[points - 1] != _DIGIT).any() or (kinds[points + 1] != _DIGIT).any():
        return False
    exponents = np.flatnonzero(kinds == _EXPONENT)
    digits = ends[np.searchsorted(ends, exponents, side="right")] - exponents - 1
    if (digits - (kinds[exponents + 1] == _SIGN) > 2).any():
        return False
    zeros = lead[(data[lead] == ord("0")) & (lead + 1 < ends)]
    return not (kinds[zeros + 1] == _DIGIT).any()


def _every(texts: pa.StringArray, first: int, step: int) -> pa.StringArray:
    return texts.take(pa.array(np.arange(first, len(texts), step)))


def _characters(texts: pa.StringArray) -> pa.Buffer:
    """All of them, one after the other; of an array that begins with its buffers."""
    _, offsets, data = texts.buffers()
    size = int(np.frombuffer(offsets, np.int32)[len(texts)])
    return data.slice(0, size) if data is not None else pa.py_buffer(b"")
