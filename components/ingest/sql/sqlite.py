"""SQLite read by a process of its own, where that pays and gives the same values.

``sqlite_reader.py`` makes Arrow columns of rows in C, beside the process that encodes them: Python
takes three times as long to make its values of them. What SQLite allows and Arrow's columns do not,
values of several types in one column, is noticed row by row; the part is then read by Python. So it
is after any other trouble there, whose words are Python's then.
"""

import contextlib
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from components.ingest.plan import Column
from components.ingest.sql.connect import database_file
from components.ingest.sql.cursor import compiled
from components.ingest.sql.partitions import subquery

MANY_ROWS = 200_000
"""From how many rows on a process of its own pays: its start takes as long as these in Python."""

_READER = Path(__file__).with_name("sqlite_reader.py")
# The two SQLites are of different versions: what they compute may differ in the last digit.
_COMPUTED = re.compile(r"Func|Agg|Cast|Concat|VOpen|^(Add|Subtract|Multiply|Divide|Remainder)$")
_STORED = {int: "integer", float: "real", str: "text", bytes: "blob"}
_STORED_AS = {"int": "integer", "float": "real", "text": "text", "bytes": "blob"}
# By storage class a value of it, and what tells others. In an integer column the driver itself
# refuses them; among floats integers become what Python makes of them.
_FIRST = {"integer": "0", "real": "0.0", "text": "''", "blob": "x''"}
_UNFIT = {"real": "+{0} >= ''", "text": "+{0} < '' OR +{0} >= x''", "blob": "+{0} < x''"}
# By process the reader that was started with a plan: it gets ready while Beam does.
_ready: dict[int, "subprocess.Popen[bytes]"] = {}


class ReaderError(Exception):
    """The reader process did not give all rows; the message says why."""


def storage_classes(
    connection: sa.Connection,
    query: sa.TextClause,
    columns: Sequence[Column],
    rows: Sequence[Any],
    parts: int,
) -> tuple[str, ...] | None:
    """How SQLite stores each column's values, where a process of its own may read them.

    Args:
      connection: of the file.
      query: the source's query with its parameters bound.
      columns: the result's columns.
      rows: the first rows: tuples of Python values.
      parts: how many parts the query is cut into.

    Returns:
      The storage classes; None where Python reads: the rows are few or in no file, a column's are
      of several classes, or the query computes values.
    """
    found = [
        _storage_class(column, {type(value) for value in values} - {type(None)})
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    known = tuple(storage for storage in found if storage is not None)
    if len(known) < len(found) or database_file(connection.engine.url) is None:
        return None
    text, parameters = compiled(connection, query)
    steps = connection.exec_driver_sql(f"EXPLAIN {text}", parameters)
    if any(_COMPUTED.search(step.opcode) for step in steps):
        return None
    last = sa.select(sa.text("1")).select_from(subquery(query)).limit(1).offset(MANY_ROWS * parts)
    if connection.execute(last).first() is None:
        return None
    if os.getpid() not in _ready:
        _ready[os.getpid()] = _start()
    return known


def batches(
    uri: str, text: str, parameters: tuple[Any, ...], storage: tuple[str, ...], rows: int
) -> Generator[list[pa.Array], None, None]:
    """The rows of a statement, by column.

    Args:
      uri: the file's, as SQLite takes it.
      text: a query.
      parameters: the values of its ``?``.
      storage: the columns' storage classes.
      rows: how many rows a batch holds at most.

    Raises:
      ReaderError: if a value is of another class, or the process does not end well.
    """
    asked = {
        "uri": uri,
        "query": watched(text, storage),
        "parameters": parameters,
        "storage": storage,
        "rows": rows,
    }
    with _ready.pop(os.getpid(), None) or _start() as process:
        assert process.stdin and process.stdout and process.stderr
        broken = ""
        try:
            process.stdin.write(pickle.dumps(asked))
            process.stdin.flush()
            with pa.ipc.open_stream(process.stdout) as stream:
                for batch in stream:
                    yield batch.columns
        except (OSError, pa.ArrowInvalid) as error:
            broken = str(error)
            with contextlib.suppress(OSError):
                process.stdin.close()
        process.stdout.close()
        said = process.stderr.read().decode(errors="replace").strip().splitlines()
    if process.returncode or broken:
        raise ReaderError(f"{(said or [broken])[-1]} (exit code {process.returncode})")


def watched(text: str, storage: Sequence[str]) -> str:
    """The query with a row before all others that settles types, and a last column of 1 or 0.

    The driver takes types from its first rows. What comes later it converts without a word, so
    that the last column tells whether a value of the row is of another storage class.
    """
    names = [f"c{place}" for place in range(len(storage))]
    first = ", ".join(_FIRST[kind] for kind in storage)
    tests = [
        _UNFIT[kind].format(name)
        for name, kind in zip(names, storage, strict=True)
        if kind in _UNFIT
    ]
    unfit = f"CASE WHEN {' OR '.join(tests)} THEN 1 ELSE 0 END" if tests else "0"
    return (
        f"WITH source_rows ({', '.join(names)}) AS ({text})\n"
        f"SELECT {first}, 0 UNION ALL SELECT *, {unfit} FROM source_rows"
    )


def _start() -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    command = [sys.executable, "-I", str(_READER)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)


def _storage_class(column: Column, types: set[type]) -> str | None:
    if column.kind == "float" and types <= {int, float}:
        return "real"
    if len(types) == 1:
        storage = _STORED.get(types.pop())
        # Whole numbers among them would lose what tells them from floats.
        return None if storage == "real" else storage
    return None if types else _STORED_AS.get(column.kind)
