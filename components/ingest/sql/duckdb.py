"""DuckDB: its column types, and its own Arrow batches, which no value of Python passes through.

An interval's month counts 30 days, as in DuckDB's own Python values.
"""

import re
from collections.abc import Generator
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from components.ingest.sql.cursor import compiled

_KINDS = {
    **dict.fromkeys(["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"], "int"),
    **dict.fromkeys(["UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"], "int"),
    **dict.fromkeys(["FLOAT", "DOUBLE", "DECIMAL"], "float"),
    **dict.fromkeys(["VARCHAR", "UUID", "JSON", "ENUM"], "text"),
    **dict.fromkeys(["TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"], "time"),
    **dict.fromkeys(["TIMESTAMP WITH TIME ZONE", "DATE"], "time"),
    "BOOLEAN": "bool",
    "BLOB": "bytes",
    "TIME": "clock",
    "INTERVAL": "span",
    '"NULL"': "null",
    "NULL": "null",
}
_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])


def kinds(cursor: Any) -> list[tuple[str | None, str]]:
    """By column of a result its kind, None where there is none for it, and the type's own name."""
    names = [str(item[1]) for item in cursor.description]
    return [(_kind(name), name) for name in names]


def batches(
    connection: sa.Connection, statement: sa.sql.ClauseElement, rows: int
) -> Generator[list[pa.Array], None, None]:
    """The rows of a statement, by column.

    Args:
      connection: where to run it.
      statement: a query.
      rows: how many of them a batch holds at most.

    Raises:
      duckdb.Error: if one of the rows cannot be made.
    """
    import duckdb

    read = _read(connection, statement, rows)
    try:
        for batch in read:
            for begin in range(0, batch.num_rows, rows):
                yield [_plain(column) for column in batch.slice(begin, rows).columns]
    except (OSError, pa.ArrowException) as error:
        raise duckdb.Error(str(error)) from None
    finally:
        # DuckDB would wait for ever to open a file of which somebody, were it an exception's
        # traceback, still holds a result (https://github.com/duckdb/duckdb/issues/25965).
        del read


def _read(
    connection: sa.Connection, statement: sa.sql.ClauseElement, rows: int
) -> pa.RecordBatchReader:
    import duckdb

    text, parameters = compiled(connection, statement)
    driver: Any = connection.connection.driver_connection
    if int(duckdb.__version__.split(".")[0]) >= 2:
        # From a cursor DuckDB 2 gives batches only of a copy of all rows.
        result = driver.sql(text, params=parameters or None)
    else:
        # Here it is a relation with parameters that would hold all rows.
        result = driver.execute(text, parameters)
    # The older name is deprecated in DuckDB 1.5, the newer one absent before.
    reader = getattr(result, "to_arrow_reader", None) or result.fetch_record_batch
    return reader(rows)


def _kind(name: str) -> str | None:
    if name.endswith("[]"):
        inner = _kind(name[:-2])
        return f"list<{inner}>" if inner and not inner.startswith("list<") else None
    return _KINDS.get(re.sub(r"\(.*\)$", "", name))


def _plain(column: pa.Array) -> pa.Array:
    """Intervals as durations; anything else as it is."""
    if str(column.type) != "month_day_nano_interval":
        return column
    held = np.frombuffer(column.buffers()[1], _INTERVAL)[column.offset :][: len(column)]
    days = held["months"].astype(np.int64) * 30 + held["days"]
    spans = days * 86_400_000_000 + held["nanoseconds"] // 1000
    missing = np.asarray(column.is_null())
    return pa.array(spans, pa.duration("us"), mask=missing)
