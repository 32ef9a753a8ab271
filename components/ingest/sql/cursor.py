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
    text, parameters = compiled(connection, statement)
    driver: Any = connection.connection.driver_connection
    if connection.dialect.driver == "psycopg":
        cursor = driver.cursor(name="source_rows")
    elif connection.dialect.driver == "pymysql":
        import pymysql.cursors

        cursor = driver.cursor(pymysql.cursors.SSCursor)
    else:
        cursor = driver.cursor()
    try:
        cursor.execute(text, parameters)
        yield cursor
    finally:
        # Why reading failed counts, not why the cursor of a broken connection cannot be closed.
        with contextlib.suppress(Exception):
            cursor.close()


def compiled(connection: sa.Connection, statement: sa.sql.ClauseElement) -> tuple[str, Any]:
    """A statement's text and parameters as the connection's driver takes them."""
    made: Any = statement.compile(dialect=connection.dialect)
    parameters = made.construct_params()
    if made.positional:
        return str(made), tuple(parameters[name] for name in made.positiontup)
    return str(made), parameters


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
