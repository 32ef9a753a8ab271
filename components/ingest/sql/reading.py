"""Reading a SQL source: bounded memory, Arrow record batches, every row once.

Plain functions: no Beam, no TFX. ``SqlExampleGen`` reads the parts of a ``plan`` side by side;
``read_source`` reads a whole source, as prediction does.

What a column's type becomes stands in ``sql/columns.py``, how parameters are bound in
``sql/bind.py``.
"""

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from components.ingest.errors import ReadAnewError
from components.ingest.plan import Column, Plan, Preview, Times
from components.ingest.sources import SqlSource
from components.ingest.sql import sqlite
from components.ingest.sql.bind import bound_query
from components.ingest.sql.columns import columns_to_batch, to_batch
from components.ingest.sql.connect import connected, database_file, read_only_uri
from components.ingest.sql.cursor import compiled, streaming, uncollected
from components.ingest.sql.errors import masked
from components.ingest.sql.partitions import Partition, partition_query, partitions
from components.ingest.sql.schema import first_rows, settle_columns
from components.ingest.sql.watermarks import no_rows


def plan(name: str, source: SqlSource, times: Times) -> Plan:
    """Looks at a source's first batch, settles its columns' kinds, and cuts it into parts.

    Args:
      name: the source's name, for messages.
      source: its settings.
      times: what the query's parameters stand for.

    Raises:
      DataError: if the database cannot be read, a column that the settings name is not there or
        unfit for its purpose, two columns have one name, a type has no place in a feature, or
        there are no rows.
    """
    with connected(name, source) as connection:
        query = bound_query(name, source, source.query, times, connection.dialect.name)
        with first_rows(name, connection, query, source.batch_rows) as first:
            if not first.rows:
                raise no_rows(name, source, times)
            columns = settle_columns(name, source, times, first)
            to_batch(name, source, columns, first.rows, 1)
            cast = first.cast_of(source.partitions.column) if source.partitions else None
        parts = partitions(connection, query, source, columns, cast)
        if connection.dialect.name == "sqlite" and not first.whole:
            storage = sqlite.storage_classes(connection, query, columns, first.rows, len(parts))
            parts = [dataclasses.replace(part, storage=storage) for part in parts]
    return Plan(tuple(columns), tuple(parts))


def read_partition(
    name: str, source: SqlSource, times: Times, columns: Sequence[Column], partition: Partition
) -> Iterator[pa.RecordBatch]:
    """Reads one part of a plan.

    Yields:
      Batches of at most ``source.batch_rows`` rows; no more than one of them is in memory. Their
      schema depends on ``columns`` only.

    Raises:
      ReadAnewError: if a process of its own, which reads SQLite, did not read all.
      DataError: if the database cannot be read, or a value does not fit.
    """
    with connected(name, source) as connection:
        query = bound_query(name, source, source.query, times, connection.dialect.name)
        statement = partition_query(query, partition)
        if connection.dialect.name == "duckdb":
            from components.ingest.sql import duckdb as sql_duckdb

            arrays = sql_duckdb.batches(connection, statement, source.batch_rows)
            yield from _arrow_batches(name, source, columns, arrays)
            return
        if partition.storage is not None:
            yield from _by_process(name, source, columns, connection, statement, partition)
            return
        with streaming(connection, statement) as cursor:
            yield from _batches(name, source, columns, cursor)


def read_source(name: str, source: SqlSource, times: Times) -> Iterator[pa.RecordBatch]:
    """Reads a whole source.

    Args:
      name: the source's name, for messages.
      source: its settings.
      times: what the query's parameters stand for.

    Yields:
      Batches of at most ``source.batch_rows`` rows, of one schema; none if there are no rows.

    Raises:
      DataError: as ``plan`` and ``read_partition``, but no rows are no error.
    """
    with connected(name, source) as connection:
        query = bound_query(name, source, source.query, times, connection.dialect.name)
        with first_rows(name, connection, query, source.batch_rows, limited=False) as first:
            if not first.rows:
                return
            columns = settle_columns(name, source, times, first)
            yield to_batch(name, source, columns, first.rows, 1)
            if not first.whole:
                yield from _batches(name, source, columns, first.cursor, len(first.rows))


def preview(name: str, source: SqlSource, times: Times, rows: int = 20) -> Preview:
    """Connects and reads a few rows.

    Raises:
      DataError: as ``plan``.
    """
    with connected(name, source) as connection:
        query = bound_query(name, source, source.query, times, connection.dialect.name)
        with first_rows(name, connection, query, rows) as first:
            if not first.rows:
                raise no_rows(name, source, times)
            columns = settle_columns(name, source, times, first)
            table = pa.Table.from_batches([to_batch(name, source, columns, first.rows, 1)])
    types = {column.name: column.kind for column in columns}
    return Preview(table.column_names, types, table)


def _batches(
    name: str, source: SqlSource, columns: Sequence[Column], cursor: Any, done: int = 0
) -> Iterator[pa.RecordBatch]:
    """The rows that a cursor has left, after ``done`` ones."""
    while True:
        with uncollected():
            rows = cursor.fetchmany(source.batch_rows)
            if not rows:
                return
            count = len(rows)
            batch = to_batch(name, source, columns, rows, done + 1)
            del rows
        yield batch
        done += count


def _arrow_batches(
    name: str,
    source: SqlSource,
    columns: Sequence[Column],
    arrays: Generator[list[pa.Array], None, None],
) -> Iterator[pa.RecordBatch]:
    """The rows that come as Arrow arrays by column; whoever breaks off ends what they come from."""
    done = 0
    with contextlib.closing(arrays):
        for some in arrays:
            batch = columns_to_batch(name, source, columns, some, done + 1)
            yield batch
            done += batch.num_rows


def _by_process(
    name: str,
    source: SqlSource,
    columns: Sequence[Column],
    connection: sa.Connection,
    statement: sa.sql.ClauseElement,
    partition: Partition,
) -> Iterator[pa.RecordBatch]:
    """The rows of a SQLite file that a process of its own reads."""
    url = connection.engine.url
    path = database_file(url)
    assert path is not None and partition.storage is not None
    arrays = sqlite.batches(
        read_only_uri(path), *compiled(connection, statement), partition.storage, source.batch_rows
    )
    try:
        yield from _arrow_batches(name, source, columns, arrays)
    except sqlite.ReaderError as error:
        raise ReadAnewError(
            name,
            f"database {masked(url)}, part {partition}",
            f"the process that reads it did not give all rows ({error})",
            "Python reads the part from its beginning",
            dataclasses.replace(partition, storage=None),
        ) from None
