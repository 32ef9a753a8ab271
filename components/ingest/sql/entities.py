"""Rows of a SQL source for some entities, read as training reads all of them."""

import typing
from collections.abc import Sequence

import pyarrow as pa
import sqlalchemy as sa

from components.ingest.plan import FAR_FUTURE, Times
from components.ingest.sources import SqlSource
from components.ingest.sql.bind import bound_query
from components.ingest.sql.columns import kind_of_values, to_batch
from components.ingest.sql.connect import connected
from components.ingest.sql.partitions import subquery
from components.ingest.sql.schema import first_rows, settle_columns
from components.ingest.sql.watermarks import no_rows

Entity = int | str | bytes


def entity_rows(
    name: str, source: SqlSource, times: Times, entities: Sequence[Entity] | None = None
) -> pa.Table:
    """Reads a source's rows of some entities.

    The source's query stays as it is: it becomes a subquery, and the entities are bound.

    Args:
      name: the source's name, for messages.
      source: its settings.
      times: what the query's parameters stand for.
      entities: whose rows to read, of the type that the query's column has; None: all.

    Returns:
      The query's columns, typed as ``sql/columns.py`` says; of type null where there are no rows.

    Raises:
      DataError: if the database can't be reached or refuses the query, or a value doesn't fit.
    """
    with connected(name, source) as connection:
        query = bound_query(name, source, source.query, times, connection.dialect.name)
        chosen = query if entities is None else _of_entities(query, source.entity, entities)
        # Without a limit `first_rows` runs any statement as it is.
        statement = typing.cast(sa.TextClause, chosen)
        with first_rows(name, connection, statement, source.batch_rows, limited=False) as first:
            if not first.rows:
                return pa.table({column: pa.nulls(0) for column in first.names})
            columns = settle_columns(name, source, times, first)
            batches = [to_batch(name, source, columns, first.rows, 1)]
            done = len(first.rows)
            while not first.whole and (rows := first.cursor.fetchmany(source.batch_rows)):
                batches.append(to_batch(name, source, columns, rows, done + 1))
                done += len(rows)
    return pa.Table.from_batches(batches)


def entity_kind(name: str, source: SqlSource) -> str:
    """What a source's entities are: ``int``, ``text`` or ``bytes``.

    Raises:
      DataError: if the source has no rows, or its entity is none of these.
    """
    times = Times(0, FAR_FUTURE, FAR_FUTURE)
    with connected(name, source) as connection:
        query = bound_query(name, source, source.query, times, connection.dialect.name)
        with first_rows(name, connection, query, 1) as first:
            if not first.rows:
                raise no_rows(name, source, times)
            if source.entity not in first.names:
                settle_columns(name, source, times, first)
            place = first.names.index(source.entity)
            # Settling all columns would look through the whole result for those that are NULL here.
            said = source.types.get(source.entity) or (first.driver and first.driver[place][0])
            return said or kind_of_values([first.rows[0][place]]) or "text"


def _of_entities(query: sa.TextClause, column: str, entities: Sequence[Entity]) -> sa.Select:
    # Without a type the database compares the value as the column's own type, UUIDs and enums too.
    values = [
        sa.bindparam(f"entity_{place}", entity, sa.types.NullType())
        for place, entity in enumerate(entities)
    ]
    wanted: sa.ColumnElement = sa.column(column)
    return sa.select(sa.text("*")).select_from(subquery(query)).where(wanted.in_(values))
