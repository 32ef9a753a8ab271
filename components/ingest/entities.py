"""Entities: one integer code for each across all sources, and a hash that never changes."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.errors import DataError
from components.ingest.windows import Ints


def entity_values(column: pa.Array | pa.ChunkedArray, source: str, name: str) -> pa.Array:
    """An entity column in one of the two types that entities have.

    Args:
      column: n entities.
      source: the source's name, for the message.
      name: the column's name, for the message.

    Returns:
      n values, int64 or large_binary; of type null where none has a value.

    Raises:
      DataError: if it is neither whole numbers nor text nor bytes.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_null(kind):
        return column
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if is_text(kind):
        return column.cast(pa.large_binary())
    present = column.drop_null()
    raise DataError(
        source,
        f"entity column {name!r}",
        f"expected whole numbers or text, found {kind}",
        "Cast it in the query or, in a SQL source, set types: {%s: int} or {%s: text}"  # noqa: UP031
        % (name, name),
        value=present[0].as_py() if len(present) else None,
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text or bytes, which are the same once in a tf.Example."""
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def check_same_type(spine: pa.Array, spine_name: str, entities: pa.Array, source: str) -> None:
    """Refuses to match entities that are written as numbers here and as text there.

    Args:
      spine: the spine's entities, as ``entity_values`` gives them.
      spine_name: where they stand, as ``source.column``.
      entities: a source's.
      source: its name and column, as ``source.column``.

    Raises:
      DataError: if the types differ.
    """
    kinds = (spine.type, entities.type)
    if kinds[0] == kinds[1] or pa.types.is_null(kinds[0]) or pa.types.is_null(kinds[1]):
        return
    present = entities.drop_null()
    value = present[0].as_py() if len(present) else None
    names = {True: "text", False: "a whole number"}
    name, _, column = source.partition(".")
    raise DataError(
        name,
        f"entity column {column!r}",
        f"expected {names[is_text(kinds[0])]}, as {spine_name} is",
        "Write entities in one type on both sides: cast them in the SQL query, or set the SQL "
        f"source's types: {{{column}: {'text' if is_text(kinds[0]) else 'int'}}}",
        value=value.decode(errors="replace") if isinstance(value, bytes) else value,
    )


def encode_entities(columns: Sequence[pa.Array]) -> tuple[list[Ints], int]:
    """Gives each entity a code, the same in every column, in the entities' order.

    Args:
      columns: arrays as ``entity_values`` gives them, of one type or null.

    Returns:
      For each column int64 codes, -1 where the entity is missing; and how many codes there are.
    """
    typed = [column for column in columns if not pa.types.is_null(column.type)]
    if not typed:
        return [np.full(len(column), -1, np.int64) for column in columns], 0
    if all(pa.types.is_integer(column.type) and not column.null_count for column in columns):
        numbers = [np.asarray(column) for column in columns]
        if (found := _number_codes(numbers)) is not None:
            return found
    encoded = pa.concat_arrays(typed).dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order) + 1, np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = -1
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    codes, begin = [], 0
    for column in columns:
        if pa.types.is_null(column.type):
            codes.append(np.full(len(column), -1, np.int64))
        else:
            codes.append(rank[indices[begin : begin + len(column)]])
            begin += len(column)
    return codes, len(order)


def _number_codes(columns: list[Ints]) -> tuple[list[Ints], int] | None:
    """As encode_entities, for numbers that lie close together, as they mostly do; None if not."""
    filled = [column for column in columns if len(column)]
    if not filled:
        return None
    low = min(int(column.min()) for column in filled)
    span = max(int(column.max()) for column in filled) - low + 1
    if span > sum(map(len, filled)):
        return None
    there = np.zeros(span, bool)
    for column in filled:
        there[column - low] = True
    rank = np.cumsum(there) - 1
    return [rank[column - low] for column in columns], int(rank[-1]) + 1


def stable_hash(entities: pa.Array, salt: str) -> npt.NDArray[np.uint64]:
    """Hashes entities: BLAKE2b of their text, the same on every machine and in every version.

    Args:
      entities: n values as ``entity_values`` gives them; the number 7 and the text ``7`` are one.
      salt: makes hashes for different ends independent of each other.

    Returns:
      uint64[n], 0 where the entity is missing.
    """
    if pa.types.is_null(entities.type):
        return np.zeros(len(entities), np.uint64)
    encoded = entities.dictionary_encode()
    texts = (
        value if isinstance(value, bytes) else str(value).encode()
        for value in encoded.dictionary.to_pylist()
    )
    key = hashlib.blake2b(salt.encode(), digest_size=16).digest()
    hashes = [hashlib.blake2b(text, digest_size=8, key=key).digest() for text in texts]
    table = np.zeros(len(hashes) + 1, np.uint64)
    table[:-1] = np.frombuffer(b"".join(hashes), "<u8")
    return table[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
