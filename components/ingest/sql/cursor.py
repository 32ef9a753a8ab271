"""Server-side cursors: rows arrive as they are asked for, as plain tuples.

A statement that SQLAlchemy wrote runs on the driver's own cursor: SQLAlchemy's result would make an
object of each row, which costs as much as fetching it.
"""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa


@contextlib.contextmanager
def streaming(connection: sa.Connection, statement: sa.sql.ClauseElement) -> Iterator[Any]:
    """Runs a statement.

    Yields:
      A DBAPI cursor whose ``fetchmany`` gives tuples; the rest stays on the server.
    """
    compiled: Any = statement.compile(dialect=connection.dialect)
    parameters: Any = compiled.construct_params()
    if compiled.positional:
        parameters = tuple(parameters[name] for name in compiled.positiontup)
    driver: Any = connection.connection.driver_connection
    if connection.dialect.driver == "psycopg":
        cursor = driver.cursor(name="source_rows")
    elif connection.dialect.driver == "pymysql":
        import pymysql.cursors

        cursor = driver.cursor(pymysql.cursors.SSCursor)
    else:
        cursor = driver.cursor()
    try:
        cursor.execute(str(compiled), parameters)
        yield cursor
    finally:
        # Why reading failed counts, not why the cursor of a broken connection cannot be closed.
        with contextlib.suppress(Exception):
            cursor.close()


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keeps the garbage collector from running in the block, for rows that hold no cycles.

    It counts new tuples, so fetching many sets it to look through all objects there are, again and
    again: a third of the time, where TFX is loaded.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
