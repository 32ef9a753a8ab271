"""How new a source's data is: for the cache's key, for ``as_of: latest`` and for messages."""

import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from components.ingest.errors import DataError
from components.ingest.plan import FAR_FUTURE, NoRowsError, Times
from components.ingest.plan import no_rows as source_without_rows
from components.ingest.sources import SqlSource
from components.ingest.spans.days import write_watermark
from components.ingest.sql.bind import bound_query
from components.ingest.sql.connect import connected, database_file, database_url
from components.ingest.sql.partitions import subquery
from components.ingest.sql.times import UnfitError, to_microseconds


def watermark(name: str, source: SqlSource, as_of: int = FAR_FUTURE) -> str:
    """A text that changes whenever the source's data may have changed, for the cache's key.

    Args:
      name: the source's name, for messages.
      source: its settings.
      as_of: bound as ``:as_of`` and ``:end`` to the watermark query, microseconds since the epoch.

    Returns:
      The watermark query's value if the settings have one; else size and time of a SQLite file and
      its write-ahead log; else a text never seen before.

    Raises:
      DataError: if the watermark query cannot be run or gives no value.
    """
    if source.watermark is not None:
        return f"query:{_value(name, source, as_of)}"
    path = database_file(database_url(name, source))
    if path is None:
        return f"unknown:{uuid.uuid4().hex}"
    states = []
    for file in (path, *(path.with_name(f"{path.name}{ending}") for ending in ("-wal", ".wal"))):
        state = file.stat() if file.exists() else None
        states.append(f"{state.st_size}:{state.st_mtime_ns}" if state else "none")
    return f"file:{':'.join(states)}"


def day_watermarks(name: str, source: SqlSource, days: Sequence[Times]) -> list[str] | None:
    """What tells the state of each day's rows: the row of ``incremental.watermark``'s query.

    Raises:
      DataError: if the query cannot be run or gives no row.
    """
    query = source.incremental and source.incremental.watermark
    if not query:
        return None
    found = []
    with connected(name, source) as connection:
        for times in days:
            bound = bound_query(name, source, query, times, connection.dialect.name)
            row = connection.execute(bound).first()
            if row is None:
                break
            found.append(write_watermark(row))
    if len(found) < len(days):
        raise DataError(
            name,
            "incremental.watermark",
            "its query gives no row",
            "Give one row for any day, such as SELECT COUNT(*), MAX(updated_at) FROM ...",
            query,
        )
    return found


def latest(name: str, source: SqlSource) -> int:
    """The newest time in a source, microseconds since the epoch.

    It is the watermark query's value if that is a time, else the greatest value of the time column
    over the query's result.

    Raises:
      DataError: if the source has no rows or cannot be read.
    """
    if source.watermark is not None:
        value = _value(name, source, FAR_FUTURE)
        if not isinstance(value, int | float):
            try:
                return _instant(value, source)
            except (UnfitError, pa.ArrowInvalid):
                pass
    times = Times(0, FAR_FUTURE, FAR_FUTURE)
    with connected(name, source) as connection:
        query = bound_query(name, source, source.query, times, connection.dialect.name)
        column: Any = sa.column(source.time)
        newest = sa.select(sa.func.max(column)).select_from(subquery(query))
        value = connection.execute(newest).scalar()
    if value is None:
        raise no_rows(name, source, times)
    try:
        return _instant(value, source)
    except (UnfitError, pa.ArrowInvalid) as error:
        raise DataError(
            name,
            f"column {source.time!r}",
            str(error),
            "Mend the value, or leave such rows out in the query",
            value,
        ) from None


def no_rows(name: str, source: SqlSource, times: Times) -> NoRowsError:
    """The error of a query without rows; it tells the watermark, if there is one."""
    holds = ""
    if source.watermark is not None:
        holds = f"; its watermark is {_value(name, source, FAR_FUTURE)}"
    return source_without_rows(name, "query", times, holds)


def _instant(value: Any, source: SqlSource) -> int:
    return to_microseconds(pa.array([value]), source.timezone, source.time_unit)[0].as_py()


def _value(name: str, source: SqlSource, as_of: int) -> Any:
    assert source.watermark is not None
    times = Times(0, as_of, as_of)
    with connected(name, source) as connection:
        query = bound_query(name, source, source.watermark, times, connection.dialect.name)
        value = connection.execute(query).scalar()
    if value is None:
        raise DataError(
            name,
            "watermark",
            "its query gives no value",
            "Give one row with one value, such as SELECT MAX(updated_at) FROM ...",
            source.watermark,
        )
    return value
