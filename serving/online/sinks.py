"""Where predictions of a stretch of time go: a Parquet file or a table of a database.

Both replace what they hold of the stretch and keep the rest, all at once at the end: a rerun leaves
the same rows, and one that breaks off leaves what was there.
"""

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from components.ingest.errors import DataError

_ROWS = 1_000
_GROUP_ROWS = 65_536


class Sink(Protocol):
    """Takes predictions."""

    def write(self, table: pa.Table) -> None:
        """Adds rows; all tables of a run have one schema."""
        ...


@contextlib.contextmanager
def parquet_sink(path: Path, time: str, begin: int, end: int) -> Iterator[Sink]:
    """Writes a Parquet file beside its place and renames it into it at a clean end.

    Args:
      path: the file. Its rows outside the stretch are kept.
      time: the column with the observations' time, a timestamp.
      begin: the stretch's first instant, microseconds.
      end: the first instant past it.

    Raises:
      DataError: if the file holds other columns than the new rows, or cannot be read or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    sink = _ParquetSink(own, path, time, begin, end)
    try:
        try:
            yield sink
            sink.finish()
        except OSError as error:
            raise DataError(
                str(path),
                "output",
                f"cannot be written: {error.strerror or error}",
                "Make room, or write elsewhere",
            ) from None
        if own.exists():
            own.replace(path)
    finally:
        sink.close()
        own.unlink(missing_ok=True)


class _ParquetSink:
    def __init__(self, own: Path, path: Path, time: str, begin: int, end: int) -> None:
        self._own = own
        self._path = path
        self._time = time
        self._bounds = [pa.scalar(t, pa.timestamp("us", "UTC")) for t in (begin, end)]
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._open(table.schema)
        assert self._writer is not None
        self._writer.write_table(table)

    def finish(self) -> None:
        """Completes the file; without any new rows it holds the old ones outside the stretch."""
        if self._writer is None and self._path.exists():
            self._open(pq.read_schema(self._path).remove_metadata())
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, schema: pa.Schema) -> None:
        writer = self._writer = pq.ParquetWriter(self._own, schema)
        if not self._path.exists():
            return
        try:
            old = pq.ParquetFile(self._path)
        except pa.ArrowInvalid as error:
            raise DataError(
                str(self._path), "output", f"it is no Parquet file: {error}", "Write elsewhere"
            ) from None
        with contextlib.closing(old.reader):
            there = old.schema_arrow.remove_metadata()
            if there != schema:
                raise DataError(
                    str(self._path),
                    "columns",
                    f"it holds {', '.join(there.names)}, and the new rows have "
                    f"{', '.join(schema.names)}, or their types differ",
                    "Write to another file, or move this one away",
                )
            for batch in old.iter_batches(batch_size=_GROUP_ROWS):
                table = pa.Table.from_batches([batch], schema=schema)
                times = table[self._time]
                kept = pc.or_(
                    pc.less(times, self._bounds[0]), pc.greater_equal(times, self._bounds[1])
                )
                writer.write_table(table.filter(kept))


@contextlib.contextmanager
def table_sink(
    url: sa.engine.URL | str, name: str, model: str, time: str, begin: int, end: int
) -> Iterator[Sink]:
    """Writes to a database's table in one transaction; makes the table if it is not there.

    Args:
      url: the database's; it may hold a password and is never told.
      name: the table, or ``schema.table``.
      model: rows of this model alone are replaced.
      time: the column with the observations' time.
      begin: the stretch's first instant, microseconds.
      end: the first instant past it.

    Raises:
      DataError: if the database cannot be reached or refuses the rows.
    """
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, hide_parameters=True)
    try:
        with engine.begin() as connection:
            yield _TableSink(connection, name, model, time, begin, end)
    except sa.exc.SQLAlchemyError as error:
        told = str(getattr(error, "orig", None) or error).split("\n")[0]
        raise DataError(
            f"table {name}",
            f"database {engine.url.render_as_string(hide_password=True)}",
            f"it cannot be written: {told}",
            "Check that the database answers, that the user may make and fill the table, and that "
            "a table of this name has these columns",
        ) from None
    finally:
        engine.dispose()


class _TableSink:
    def __init__(
        self, connection: sa.Connection, name: str, model: str, time: str, begin: int, end: int
    ) -> None:
        self._connection = connection
        self._name = name
        self._model = model
        self._time = time
        self._stretch = begin, end
        self._table: sa.Table | None = None

    def write(self, table: pa.Table) -> None:
        if self._table is None:
            self._table = self._open(table.schema)
        for batch in table.to_batches(max_chunksize=_ROWS):
            if batch.num_rows:
                self._connection.execute(self._table.insert(), _records(batch))

    def _open(self, schema: pa.Schema) -> sa.Table:
        namespace, _, name = self._name.rpartition(".")
        columns = [sa.Column(field.name, _sql_type(field.type)) for field in schema]
        table = sa.Table(name, sa.MetaData(schema=namespace or None), *columns)
        table.create(self._connection, checkfirst=True)
        begin, end = (pa.scalar(moment, pa.timestamp("us")).as_py() for moment in self._stretch)
        at = table.c[self._time]
        self._connection.execute(
            table.delete().where(table.c["model"] == self._model, at >= begin, at < end)
        )
        return table


def _sql_type(kind: pa.DataType) -> sa.types.TypeEngine[Any]:
    if pa.types.is_timestamp(kind):
        return sa.DateTime().with_variant(_precise(), "mysql", "mariadb")
    if pa.types.is_integer(kind):
        return sa.BigInteger()
    if pa.types.is_floating(kind):
        return sa.Double()
    # Lists are written as JSON. MySQL wants a length for what may become part of a key.
    return sa.Text() if pa.types.is_list(kind) else sa.String(255)


def _precise() -> sa.types.TypeEngine[Any]:
    from sqlalchemy.dialects.mysql import DATETIME

    return DATETIME(fsp=6)


def _records(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as dictionaries: times naive in UTC, lists as JSON."""
    columns = {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pa.types.is_timestamp(field.type):
            column = column.cast(pa.timestamp("us"))
        values = column.to_pylist()
        if pa.types.is_list(field.type):
            values = [None if value is None else json.dumps(value) for value in values]
        columns[field.name] = values
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
