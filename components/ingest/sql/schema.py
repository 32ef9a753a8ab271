"""What a query's columns are: settled once, from their names, the driver and the first rows."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from components.ingest.errors import DataError
from components.ingest.plan import Column, Times
from components.ingest.sources import SqlSource
from components.ingest.sql.bind import bound_query
from components.ingest.sql.columns import kind_of_values
from components.ingest.sql.connect import connected
from components.ingest.sql.cursor import streaming
from components.ingest.sql.partitions import subquery
from components.ingest.sql.settle import settle


@dataclasses.dataclass(frozen=True)
class FirstRows:
    """A query's first rows.

    Attributes:
      cursor: gives the rows that follow.
      names: the columns' names.
      rows: tuples of Python values.
      whole: whether these are all rows there are.
      dialect: SQLAlchemy's name of the database.
      driver: by column a kind, or None where there is none for it, and the type's own name; None
        for databases that don't say.
    """

    cursor: Any
    names: list[str]
    rows: Sequence[Any]
    whole: bool
    dialect: str
    driver: list[tuple[str | None, str]] | None

    def cast_of(self, column: str) -> str | None:
        """The type that a column's values must be cast to when they are bound as text."""
        if self.dialect != "postgresql" or self.driver is None:
            return None
        return self.driver[self.names.index(column)][1]


@contextlib.contextmanager
def first_rows(
    name: str, connection: sa.Connection, query: sa.TextClause, rows: int, limited: bool = True
) -> Iterator[FirstRows]:
    """Runs a query and reads its first rows.

    Args:
      name: the source's name, for messages.
      connection: where to run it.
      query: the source's query with its parameters bound.
      rows: how many rows to read.
      limited: whether no rows past these are wanted: MySQL would send them all the same.

    Raises:
      DataError: if it is no SELECT.
    """
    driver = connection.dialect.driver
    statement: sa.sql.ClauseElement = query
    if driver == "pymysql" and limited:
        statement = sa.select(sa.text("*")).select_from(subquery(query)).limit(rows)
    with streaming(connection, statement) as cursor:
        if cursor.description is None:
            raise DataError(name, "query", "it returns no rows", "Write a SELECT")
        read = cursor.fetchmany(rows)
        kinds = None
        if driver == "psycopg":
            from components.ingest.sql import postgres as sql_postgres

            kinds = sql_postgres.kinds(connection, [item[1] for item in cursor.description])
        elif driver == "pymysql":
            from components.ingest.sql import mysql as sql_mysql

            kinds = sql_mysql.kinds(cursor)
        elif driver == "duckdb_engine":
            from components.ingest.sql import duckdb as sql_duckdb

            kinds = sql_duckdb.kinds(cursor)
        names = [item[0] for item in cursor.description]
        yield FirstRows(cursor, names, read, len(read) < rows, connection.dialect.name, kinds)


def settle_columns(name: str, source: SqlSource, times: Times, first: FirstRows) -> list[Column]:
    """Settles the columns' kinds.

    Args:
      name: the source's name, for messages.
      source: its settings; ``types:`` goes before all else.
      times: what the query's parameters stand for.
      first: the result's first rows, at least one.

    Raises:
      DataError: if two columns have one name, one that the settings name is not there, a type has
        no place in the type map, or the entity is of an unfit kind.
    """
    probe = None if first.whole else functools.partial(_probe, name, source, times)
    return settle(name, source, first.names, first.rows, first.driver, probe)


def _probe(name: str, source: SqlSource, times: Times, column: str, kind: str) -> str | None:
    """Looks past the first rows where these don't settle a column's kind.

    A column whose first rows are all NULL takes the kind of its first value. In SQLite, where each
    value has its own type, an integer column that holds a float anywhere is a float column: the
    column types DECIMAL and NUMERIC keep 10.0 as 10.
    """
    with connected(name, source) as connection:
        query = bound_query(name, source, source.query, times, connection.dialect.name)
        wanted: Any = sa.column(column)
        rows = subquery(query)
        if kind == "null":
            found = connection.execute(
                sa.select(wanted).select_from(rows).where(wanted.is_not(None)).limit(1)
            ).all()
            settled = kind_of_values([found[0][0]]) if found else "null"
            if settled != "int":
                return settled
        if connection.dialect.name != "sqlite":
            return "int"
        floats = sa.select(sa.func.max(sa.func.typeof(wanted) == "real")).select_from(rows)
        return "float" if connection.execute(floats).scalar() else "int"
