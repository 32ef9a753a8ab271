"""Connecting to a source's database: its URL, drivers, retries and session.

A connection reads only, streams its rows from the server, and runs in the source's time zone, so
that a database compares zoned and naive times with ``:begin``, ``:end`` and ``:as_of`` alike.
"""

import contextlib
import logging
import os
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import tenacity

from components.ingest.durations import MICROSECONDS
from components.ingest.errors import DataError
from components.ingest.sources import SqlSource
from components.ingest.sql.errors import RETRIED, explain, kind_of, masked

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_CONNECT_SECONDS = 10
# A peer that is gone without a word is noticed in a minute, whether rows or a question are due.
_SIGNS_OF_LIFE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30
_IN_FILES = ("sqlite", "duckdb")
_UTC = ("UTC", "Etc/UTC", "GMT", "Etc/GMT", "Zulu")


def database_url(name: str, source: SqlSource) -> sa.engine.URL:
    """The database's URL: what ``url_env`` holds if it is set, else ``url``.

    Args:
      name: the source's name, for messages.
      source: its settings.

    Returns:
      The URL with an installed driver; it may hold a password.

    Raises:
      DataError: if there is none, or it cannot be read. The message does not quote it.
    """
    text = os.environ.get(source.url_env) if source.url_env else None
    where = f"environment variable {source.url_env}" if text else "url"
    text = text or source.url
    if not text:
        if source.url_env is None:
            raise DataError(
                name,
                "url",
                "the source names no database",
                "Set url or url_env of the source in settings.yaml",
            )
        raise DataError(
            name,
            f"environment variable {source.url_env}",
            "it is not set, and the source has no url",
            f"Set it: export {source.url_env}='postgresql://user:password@host/database'",
        )
    url = None
    with contextlib.suppress(sa.exc.ArgumentError, ValueError):
        url = sa.engine.make_url(text)
    if url is None:
        raise DataError(
            name,
            where,
            "it does not hold a database URL",
            "Write it as dialect://user:password@host:port/database or sqlite:///path",
        )
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def is_utc(zone: str) -> bool:
    """Whether a time zone is another name of UTC."""
    return zone in _UTC


def database_file(url: sa.engine.URL) -> Path | None:
    """The file of a SQLite or DuckDB URL, relative ones from the working directory; else None."""
    if url.get_backend_name() not in _IN_FILES:
        return None
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return None
    return Path(url.database)


def read_only_uri(path: Path) -> str:
    """A SQLite file as a URI that opens it for reading."""
    return f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"


@contextlib.contextmanager
def connected(name: str, source: SqlSource) -> Iterator[sa.Connection]:
    """Connects, tries again where that may help, and turns the database's errors into DataErrors.

    Args:
      name: the source's name, for messages.
      source: its settings.

    Yields:
      A connection in a transaction that only reads.

    Raises:
      DataError: if the database cannot be reached, or refuses what is asked in the block.
    """
    url = database_url(name, source)
    engine = _engine(name, source, url)
    problem = None
    try:
        connection = _connect(name, source, url, engine)
        try:
            yield connection
        except (sa.exc.DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
            problem = explain(name, url, error, tables=_tables(engine, error))
        finally:
            _close(connection)
    finally:
        engine.dispose()
    if problem is not None:
        raise problem from None


def _connect(name: str, source: SqlSource, url: sa.engine.URL, engine: sa.Engine) -> sa.Connection:
    begun = time.monotonic()
    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(source.connect_attempts),
        wait=tenacity.wait_exponential(_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, sa.exc.DBAPIError) and kind_of(error) in RETRIED
        ),
        before_sleep=lambda state: _say_again(name, url, source.connect_attempts, state),
        reraise=True,
    )
    connection = problem = None
    try:
        connection = attempts(lambda: _session(source, engine))
    except sa.exc.DBAPIError as error:
        count = attempts.statistics.get("attempt_number", 1)
        seconds = time.monotonic() - begun
        tried = f"{count} attempts in {seconds:.1f} s" if count > 1 else "1 attempt"
        problem = _zone_problem(name, source, error) or explain(name, url, error, tried)
    if connection is None:
        assert problem is not None
        raise problem
    return connection


def _say_again(
    name: str, url: sa.engine.URL, attempts: int, state: tenacity.RetryCallState
) -> None:
    assert state.next_action is not None
    logging.getLogger(__name__).warning(
        "%s: no connection to %s (attempt %d of %d); trying again in %.1f s",
        name,
        masked(url),
        state.attempt_number,
        attempts,
        state.next_action.sleep,
    )


def _engine(name: str, source: SqlSource, url: sa.engine.URL) -> sa.Engine:
    # One connection a partition, closed at its end; and no parameters in messages.
    options: dict[str, Any] = {"poolclass": sa.pool.NullPool, "hide_parameters": True}
    if url.get_backend_name() in _IN_FILES:
        path = database_file(url)
        if path is not None:
            if not path.is_file():
                raise DataError(
                    name,
                    f"database {masked(url)}",
                    f"there is no file {path.absolute()}",
                    "Check the path (relative ones start at the working directory), or make the "
                    "database first",
                )
            address = read_only_uri(path)
            if url.get_backend_name() == "duckdb":
                options["connect_args"] = {"read_only": True}
            else:
                options["creator"] = lambda: sqlite3.connect(address, uri=True, timeout=30)
        elif not str(url.database or "").startswith("file:"):
            raise DataError(
                name,
                f"database {masked(url)}",
                "a database in memory is empty when it is opened",
                f"Name a file: {url.get_backend_name()}:///data/plant.db",
            )
    elif url.drivername == "postgresql+psycopg":
        options["connect_args"] = _unless_in(
            url, connect_timeout=_CONNECT_SECONDS, **_SIGNS_OF_LIFE
        )
    elif url.drivername.endswith("+pymysql"):
        from components.ingest.sql.mysql import decoders

        silence = max(1, source.read_timeout // MICROSECONDS["s"])
        options["connect_args"] = _unless_in(
            url, connect_timeout=_CONNECT_SECONDS, read_timeout=silence, write_timeout=silence
        ) | {"conv": decoders()}
    engine = None
    with contextlib.suppress(sa.exc.NoSuchModuleError, ModuleNotFoundError):
        engine = sa.create_engine(url, **options)
    if engine is None:
        raise DataError(
            name,
            f"database {masked(url)}",
            f"no driver for {url.drivername!r} is installed",
            "Install the driver's package (docs/sources.md names them), or write the URL for a "
            "driver that is there: sqlite, postgresql+psycopg, mysql+pymysql",
        )
    return engine


def _unless_in(url: sa.engine.URL, **arguments: Any) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key not in url.query}


def _session(source: SqlSource, engine: sa.Engine) -> sa.Connection:
    connection = engine.connect()
    try:
        if engine.dialect.name == "postgresql":
            # Local to the transaction: a pooler may hand the session to somebody else after it.
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            setting = sa.text("SELECT set_config(:what, :value, true)")
            for what, value in {
                "TimeZone": source.timezone,
                "DateStyle": "ISO",
                "IntervalStyle": "postgres",
            }.items():
                connection.execute(setting, {"what": what, "value": value}).close()
            if engine.dialect.driver == "psycopg":
                from components.ingest.sql.postgres import register_loaders

                register_loaders(connection)
        elif engine.dialect.name in ("mysql", "mariadb"):
            # UTC by its offset: a server may lack the table of named zones.
            zone = "+00:00" if is_utc(source.timezone) else source.timezone
            connection.execute(sa.text("SET time_zone = :zone"), {"zone": zone})
            connection.rollback()
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
            connection.rollback()
        elif engine.dialect.name == "duckdb":
            # Global: a cursor of DuckDB is a connection of its own. The database is ours alone.
            connection.exec_driver_sql(f"SET GLOBAL TimeZone = '{source.timezone}'")
    except BaseException:
        _close(connection)
        raise
    return connection


def _zone_problem(name: str, source: SqlSource, error: sa.exc.DBAPIError) -> DataError | None:
    unknown = error.orig is not None and error.orig.args[:1] == (1298,)
    if not unknown:
        return None
    return DataError(
        name,
        "timezone",
        "the MySQL server has no table of time zones, so it cannot compare times in this one",
        "Load it on the server (mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql), or give "
        "times in UTC and set timezone: UTC",
        source.timezone,
    )


def _close(connection: sa.Connection) -> None:
    # Closing a connection that broke must not hide why it broke.
    with contextlib.suppress(Exception):
        connection.close()


def _tables(engine: sa.Engine, error: BaseException) -> str:
    """A sentence about the tables there are, where the query names one that is not."""
    if kind_of(error) != "table":
        return ""
    names: list[str] = []
    with contextlib.suppress(Exception):
        inspector = sa.inspect(engine)
        names = sorted(inspector.get_table_names() + inspector.get_view_names())
    if not names:
        return ""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"Tables there: {', '.join(names[:20])}{more}"
