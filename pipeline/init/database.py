"""Looking at a database: its tables by reflection, their columns by a bounded sample."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from components.ingest.errors import DataError
from components.ingest.sources import SqlSource
from components.ingest.sql.connect import connected
from components.ingest.sql.schema import first_rows
from components.ingest.sql.times import to_microseconds
from pipeline.init.facts import Course, Table, course_of
from pipeline.init.options import Options
from pipeline.init.queries import Writer
from pipeline.init.sample import column_of

SAMPLE = 10_000
"""Rows that are looked at in a table, evenly taken from its first MOST."""

MOST = 2_000_000
"""Rows up to which a table is counted and sampled."""

_TIMES = 2_000


def database(url: str | None, url_env: str | None, timezone: str) -> SqlSource:
    """A source that stands for the whole database: connecting needs its URL and time zone."""
    return SqlSource(
        kind="sql",
        query="SELECT 1",
        entity="-",
        time="-",
        url=url,
        url_env=url_env,
        timezone=timezone,
        connect_attempts=2,
    )


def writer(source: SqlSource) -> Writer:
    """How SQL is written for the database.

    Raises:
      DataError: if it cannot be reached.
    """
    with connected("database", source) as connection:
        return Writer(connection.dialect)


def look(
    source: SqlSource,
    schema: str | None,
    options: Options,
    progress: Callable[[str], None],
) -> tuple[list[Table], dict[str, str]]:
    """Looks at every table; views are left to be named, for some are costly and many repeat tables.

    Args:
      source: from ``database``.
      schema: the database's schema; None for the default one.
      options: a query to look at beside them, as table ``query``; and a view to look at.
      progress: told each table's name before it is looked at.

    Returns:
      The tables that could be read, by name; and by the name of each other one why not.

    Raises:
      DataError: if the database cannot be reached, or the query cannot be run.
    """
    with connected("database", source) as connection:
        inspector = sa.inspect(connection)
        names = inspector.get_table_names(schema)
        views = inspector.get_view_names(schema)
        quoted = Writer(connection.dialect).quote
    tables = []
    refused = {view: "a view: say --table to take it" for view in views if view != options.table}
    for name in sorted([*names, *(set(views) - set(refused))]):
        progress(name)
        place = quoted(name) if schema is None else f"{quoted(schema)}.{quoted(name)}"
        try:
            table = _table(source, name, place, schema)
        except DataError as error:
            refused[name] = error.rule
            continue
        if table.rows:
            tables.append(table)
        else:
            refused[name] = "it has no rows"
    if options.query is not None:
        progress("the query")
        text = options.query.strip().rstrip(";").rstrip()
        table = _table(source, "query", f"(\n{text}\n)", schema, reflected=False)
        if not table.rows:
            raise DataError("init", "--query", "it gives no rows", "Check its conditions")
        tables.append(table)
    return tables, refused


def course(source: SqlSource, table: Table, entity: str, time: str) -> Course:
    """Reads how a table's rows run on in time.

    Raises:
      DataError: if it cannot be read.
    """
    column = table.columns[time]
    with connected(table.name, source) as connection:
        write = Writer(connection.dialect)
        e, t = write.quote(entity), write.quote(time)
        low, high, entities = connection.execute(
            sa.text(
                f"SELECT MIN({t}), MAX({t}), COUNT(DISTINCT {e}) FROM {table.source} AS looked_at"
            )
        ).one()
        usual = table.columns[entity].known.value_counts()
        counts = usual.field("counts")
        one = usual.field("values")[pc.index(counts, pc.max(counts)).as_py()].as_py()
        rows = connection.execute(
            sa.text(
                f"SELECT {t} FROM {table.source} AS looked_at "
                f"WHERE {e} = :one AND {t} IS NOT NULL ORDER BY {t} LIMIT {_TIMES}"
            ),
            {"one": one},
        ).all()
    times = _instants([row[0] for row in rows], source, column.unit)
    begin, end = _instants([low, high], source, column.unit).to_pylist()
    return course_of(begin, end, entities, times)


def classes(source: SqlSource, table: Table, column: str, most: int) -> dict[Any, int]:
    """How often each value of a column comes, NULL aside; at most ``most`` + 1 of them."""
    with connected(table.name, source) as connection:
        name = Writer(connection.dialect).quote(column)
        rows = connection.execute(
            sa.text(
                f"SELECT {name}, COUNT(*) FROM {table.source} AS looked_at "
                f"WHERE {name} IS NOT NULL GROUP BY {name} LIMIT {most + 1}"
            )
        ).all()
    return {row[0]: row[1] for row in rows}


def _instants(values: list[Any], source: SqlSource, unit: str | None) -> pa.Array:
    return to_microseconds(pa.array(values), source.timezone, unit)


def _table(
    source: SqlSource, name: str, place: str, schema: str | None, reflected: bool = True
) -> Table:
    with connected(name, source) as connection:
        declared: dict[str, str] = {}
        key: tuple[str, ...] = ()
        refers: dict[str, tuple[str, str]] = {}
        if reflected:
            inspector = sa.inspect(connection)
            for item in inspector.get_columns(name, schema):
                declared[item["name"]] = str(item["type"]).upper()
            key = tuple(inspector.get_pk_constraint(name, schema)["constrained_columns"])
            for foreign in inspector.get_foreign_keys(name, schema):
                if len(foreign["constrained_columns"]) == 1:
                    target = (foreign["referred_table"], foreign["referred_columns"][0])
                    refers[foreign["constrained_columns"][0]] = target
        counted = (
            f"SELECT COUNT(*) FROM (SELECT 1 FROM {place} AS looked_at LIMIT {MOST}) AS counted"
        )
        rows = int(connection.execute(sa.text(counted)).scalar_one())
        if not rows:
            return Table(name, place, {}, 0, key)
        with first_rows(name, connection, sa.text(_sample(place, rows)), SAMPLE) as first:
            columns = {
                column: column_of(source, first, position, declared, refers)
                for position, column in enumerate(first.names)
                if column != "looked_at_row"
            }
    return Table(name, place, columns, rows, key)


def _sample(place: str, rows: int) -> str:
    """Every k-th row, so that tables that lie sorted show more than their beginning."""
    if rows <= SAMPLE:
        return f"SELECT * FROM {place} AS looked_at"
    return (
        "SELECT * FROM (SELECT looked_at.*, ROW_NUMBER() OVER () AS looked_at_row "
        f"FROM {place} AS looked_at LIMIT {MOST}) AS numbered "
        f"WHERE looked_at_row % {-(-rows // SAMPLE)} = 0"
    )
