"""Columns as they come out of Examples: between two stages of training all data lies there."""

from collections.abc import Mapping

import pyarrow as pa

from components.ingest.example_columns import as_read

ARROW = {"int": pa.int64(), "float": pa.float32(), "bytes": pa.binary()}
"""What a column of the schema's types is, once read from Examples."""


def as_stored(table: pa.Table) -> pa.Table:
    """Columns as rows have them that were tf.Examples: floats are float32, text is bytes.

    Args:
      table: n rows.

    Returns:
      The same rows and columns; a column without any value is of type null.
    """
    if not len(table):
        return pa.table({name: pa.nulls(0) for name in table.column_names})
    (batch,) = table.combine_chunks().to_batches()
    return pa.Table.from_batches([as_read(batch)])


def as_schema(table: pa.Table, types: Mapping[str, str]) -> pa.Table:
    """Gives columns the schema's types, where a few rows show less than all of them.

    A column of which these rows have no value is null until then, and SQLite's whole numbers in a
    column of floats are integers.

    Args:
      table: what ``as_stored`` gave.
      types: by column ``int``, ``float`` or ``bytes``.
    """
    for place, name in enumerate(table.column_names):
        kind = ARROW.get(types.get(name, ""))
        column = table[name]
        is_null = pa.types.is_null(column.type)
        widens = kind == pa.float32() and pa.types.is_integer(column.type)
        if kind is not None and (is_null or widens):
            cast = pa.nulls(len(table), kind) if is_null else column.cast(kind, safe=False)
            table = table.set_column(place, name, cast)
    return table
