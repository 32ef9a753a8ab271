"""Arrays of byte strings, made and joined in Arrow: what records are put together from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.ordering import Ints, distinct_of

RECORD = pa.large_binary()
"""Bytes of any length: a record, or a part of one."""
_FEW = 1 << 16


def join(pieces: list[Any], count: int) -> pa.LargeBinaryArray:
    """Joins arrays of ``count`` byte strings, and scalars, element by element."""
    if all(isinstance(piece, pa.Scalar) for piece in pieces):
        pieces = [pa.array([b""], RECORD).take(pa.array(np.zeros(count, np.int64))), *pieces]
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", RECORD))


def by_length(lengths: Ints, make: Callable[[int], bytes]) -> Any:
    """Bytes that depend on a number alone, such as a length: made once for each distinct one.

    Args:
      lengths: int64[n].
      make: gives the bytes of a number.

    Returns:
      n byte strings, or a scalar if they are all the same.
    """
    low, high = (int(lengths.min()), int(lengths.max())) if len(lengths) else (0, 0)
    if low == high:
        return pa.scalar(make(low), RECORD)
    distinct, place = distinct_of(lengths, _FEW)
    return pa.array([make(length) for length in distinct.tolist()], RECORD).take(pa.array(place))


def offsets_of(array: pa.Array) -> Ints:
    """Where the elements of a large list or large binary array begin and end, int64[n+1]."""
    if not len(array):
        return np.zeros(1, np.int64)
    return np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]


def byte_strings(offsets: Ints, data: Any) -> pa.LargeBinaryArray:
    """Byte strings that lie one after the other in ``data``, without a copy."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), data]
    return pa.Array.from_buffers(RECORD, len(offsets) - 1, buffers)


def lengths_of(array: Any) -> Any:
    """The lengths of byte strings, int64[n], or of a scalar."""
    return len(array.as_py()) if isinstance(array, pa.Scalar) else np.diff(offsets_of(array))
