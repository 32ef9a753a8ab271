"""The program that reads SQLite in a process of its own: rows to Arrow, in C.

It is run by its path and imports nothing of ours: it is ready in a tenth of a second. ADBC's driver
brings a SQLite of its own, and two in one process undo each other's locks on a file
(https://www.sqlite.org/howtocorrupt.html); locks are each process's own, so that this one reads
beside Python's as any two programs do.

stdin: a pickled dictionary, see ``sqlite.batches``; then nothing until the asking process is gone,
with which this one ends. stdout: a stream of Arrow record batches. All rows were read if and only
if the exit code is 0: the stream of a process that was killed ends like any other.
"""

import os
import pickle
import sys
import threading
from collections.abc import Iterator
from typing import Any

import adbc_driver_manager as adbc
import adbc_driver_sqlite
import pyarrow as pa

_TYPES = {
    "integer": pa.int64(),
    "real": pa.float64(),
    "text": pa.string(),
    "blob": pa.binary(),
}


def main() -> None:
    """Writes to stdout what is asked on stdin."""
    asked = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_asker, daemon=True).start()
    with pa.ipc.new_stream(sys.stdout.buffer, schema_of(asked["storage"])) as stream:
        for batch in batches(**asked):
            stream.write_batch(batch)
    sys.stdout.flush()


def schema_of(storage: tuple[str, ...]) -> pa.Schema:
    """The batches' schema: a column of each storage class, named by its place."""
    return pa.schema([(str(place), _TYPES[kind]) for place, kind in enumerate(storage)])


def batches(
    uri: str, query: str, parameters: tuple[Any, ...], storage: tuple[str, ...], rows: int
) -> Iterator[pa.RecordBatch]:
    """Reads a query's rows; see ``sqlite.watched`` for its first row and its last column.

    Raises:
      ValueError: if a value is of another storage class, or text is no UTF-8.
      adbc.Error, OSError: if SQLite refuses, or its driver a value.
    """
    schema = schema_of(storage)
    with (
        adbc_driver_sqlite.connect(uri) as database,
        adbc.AdbcConnection(database) as connection,
        adbc.AdbcStatement(connection) as statement,
    ):
        statement.set_options(**{"adbc.sqlite.query.batch_rows": str(rows)})
        statement.set_sql_query(query)
        if parameters:
            _bind(statement, parameters)
        handle, _ = statement.execute_query()
        first = 1
        for read in pa.RecordBatchReader._import_from_c(handle.address):
            *columns, unfit = read.columns
            if [column.type for column in columns] != schema.types or unfit.to_numpy().any():
                raise ValueError("a value of another type came")
            batch = pa.RecordBatch.from_arrays(columns, schema=schema).slice(first)
            batch.validate(full=True)
            first = 0
            yield batch


def _bind(statement: adbc.AdbcStatement, values: tuple[Any, ...]) -> None:
    names = [str(place) for place in range(len(values))]
    batch = pa.RecordBatch.from_arrays([pa.array([value]) for value in values], names=names)
    array, schema = adbc.ArrowArrayHandle(), adbc.ArrowSchemaHandle()
    batch._export_to_c(array.address, schema.address)
    statement.bind(array, schema)


def _end_with_asker() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main()
