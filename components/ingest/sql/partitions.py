"""Cutting a query into parts that are read side by side, so that each row is in exactly one.

An integer column is cut by its remainder. Any other is cut at values of its own, found with NTILE
over the distinct ones; that runs the query once more. NULLs belong to the first part.
"""

import dataclasses
from typing import Any

import sqlalchemy as sa

from components.ingest.plan import Column
from components.ingest.sources import SqlSource


@dataclasses.dataclass(frozen=True)
class Partition:
    """One part of a query's rows.

    Attributes:
      index: its number, from 0; part 0 holds the NULLs.
      count: how many parts there are.
      column: what the rows are cut by; None: the whole result.
      by_remainder: whether the column's remainder is the part's number.
      low: else, the least value in the part; None if there is no bound.
      high: the least value past the part; None if there is no bound.
      cast: the database's type that the bounds are cast to from text, if that is needed.
      storage: the columns' storage classes where a process of its own reads SQLite.
    """

    index: int = 0
    count: int = 1
    column: str | None = None
    by_remainder: bool = False
    low: Any = None
    high: Any = None
    cast: str | None = None
    storage: tuple[str, ...] | None = None

    def __str__(self) -> str:
        if self.column is None:
            return "all rows"
        if self.by_remainder:
            text = f"{self.column} modulo {self.count} = {self.index}"
        else:
            bounds = [] if self.low is None else [f"{self.column} >= {self.low!r}"]
            bounds += [] if self.high is None else [f"{self.column} < {self.high!r}"]
            text = " and ".join(bounds) or "all values"
        return text if self.index else f"{text}, or NULL"


def partitions(
    connection: sa.Connection,
    query: sa.TextClause,
    source: SqlSource,
    columns: list[Column],
    cast: str | None,
) -> list[Partition]:
    """The parts that the source's settings ask for.

    Args:
      connection: asked for the values to cut at, where the column is not an integer.
      query: the source's query with its parameters bound.
      source: the source's settings.
      columns: the result's columns; the partition column is among them.
      cast: the partition column's type in the database, if its values travel as text.

    Returns:
      At most as many parts as asked for; fewer where there are fewer distinct values.
    """
    asked = source.partitions
    if asked is None or asked.count == 1:
        return [Partition()]
    kind = next(column.kind for column in columns if column.name == asked.column)
    if kind == "int":
        return [
            Partition(index, asked.count, asked.column, by_remainder=True)
            for index in range(asked.count)
        ]
    cuts = _cuts(connection, query, asked.column, asked.count, cast)
    return [
        Partition(index, len(cuts) + 1, asked.column, low=low, high=high, cast=cast)
        for index, (low, high) in enumerate(zip([None, *cuts], [*cuts, None], strict=True))
    ]


def partition_query(query: sa.TextClause, partition: Partition) -> sa.sql.ClauseElement:
    """The query for one part's rows."""
    if partition.column is None:
        return query
    column: Any = sa.column(partition.column)
    wanted: list[Any] = []
    if partition.by_remainder:
        # Twice: a negative number's remainder is negative in SQL.
        remainder = (column % partition.count + partition.count) % partition.count
        wanted.append(remainder == partition.index)
    if partition.low is not None:
        wanted.append(column >= _bound(partition.low, partition.cast))
    if partition.high is not None:
        wanted.append(column < _bound(partition.high, partition.cast))
    where = sa.and_(sa.true(), *wanted)
    if partition.index == 0:
        where = sa.or_(where, column.is_(None))
    return sa.select(sa.text("*")).select_from(subquery(query)).where(where)


def subquery(query: sa.TextClause) -> sa.Subquery:
    """The user's query, to select from."""
    return query.columns().subquery("source_rows")


def _cuts(
    connection: sa.Connection, query: sa.TextClause, name: str, count: int, cast: str | None
) -> list[Any]:
    column: Any = sa.column(name)
    distinct = (
        sa.select(column.label("v"))
        .select_from(subquery(query))
        .where(column.is_not(None))
        .distinct()
        .subquery("distinct_values")
    )
    tiles = sa.select(
        distinct.c.v,
        sa.func.ntile(sa.literal_column(str(count))).over(order_by=distinct.c.v).label("tile"),
    ).subquery("tiles")
    before = sa.select(
        tiles.c.v,
        tiles.c.tile,
        sa.func.lag(tiles.c.tile).over(order_by=tiles.c.v).label("previous"),
    ).subquery("before")
    value = sa.cast(before.c.v, sa.Text()) if cast else before.c.v
    starts = sa.select(value).where(before.c.tile != before.c.previous).order_by(before.c.v)
    return [row[0] for row in connection.execute(starts)]


class _Named(sa.types.UserDefinedType[Any]):
    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


def _bound(value: Any, cast: str | None) -> Any:
    return (
        sa.cast(sa.bindparam(None, value, sa.Text()), _Named(cast)) if cast else sa.literal(value)
    )
