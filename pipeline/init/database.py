"""Looking at a database: its tables by reflection, their columns by a bounded sample."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from components.ingest.errors import DataError
from components.ingest.sources import SqlSource
from components.ingest.sql.columns import Column as Typed
from components.ingest.sql.columns import kind_of_values, to_batch
from components.ingest.sql.connect import connected
from components.ingest.sql.schema import FirstRows, first_rows
from components.ingest.sql.times import UnfitError, to_microseconds
from pipeline.init.facts import FRACTION, WHOLE, Column, Course, Table, course_of, epoch_unit
from pipeline.init.queries import Writer

SAMPLE = 10_000
"""Rows that are looked at in a table, evenly taken from its first MOST."""

MOST = 2_000_000
"""Rows up to which a table is counted and sampled."""

_TIMES = 2_000
_DECLARED = {
    "bool": ("BOOL",),
    "time": ("DATE", "TIMESTAMP"),
    "float": ("DEC", "NUM", "FLOAT", "DOUBLE", "REAL"),
}


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
    query: str | None,
    progress: Callable[[str], None],
) -> tuple[list[Table], dict[str, str]]:
    """Looks at every table and view.

    Args:
      source: from ``database``.
      schema: the database's schema; None for the default one.
      query: a SELECT to look at beside them, as table ``query``.
      progress: told each table's name before it is looked at.

    Returns:
      The tables that could be read, by name; and by the name of each other one why not.

    Raises:
      DataError: if the database cannot be reached, or the query cannot be run.
    """
    with connected("database", source) as connection:
        inspector = sa.inspect(connection)
        names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        quoted = Writer(connection.dialect).quote
    tables, refused = [], {}
    for name in sorted(names):
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
    if query is not None:
        progress("the query")
        text = query.strip().rstrip(";").rstrip()
        table = _table(source, "query", f"(\n{text}\n)", schema, reflected=False)
        if not table.rows:
            raise DataError("init", "--query", "it gives no rows", "Check its conditions")
        tables.append(table)
    return tables, refused


def course(
    source: SqlSource, table: Table, entity: str, time: str, also: Sequence[str] = ()
) -> Course:
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
                column: _column(source, first, position, declared, refers)
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


def _column(
    source: SqlSource,
    first: FirstRows,
    position: int,
    declared: dict[str, str],
    refers: dict[str, tuple[str, str]],
) -> Column:
    name = first.names[position]
    values = [row[position] for row in first.rows]
    kind = first.driver[position][0] if first.driver else "null"
    told = declared.get(name, first.driver[position][1] if first.driver else "")
    if kind == "null":
        kind = kind_of_values(values)
    fits = next((k for k, names in _DECLARED.items() if told.startswith(names)), None)
    if (kind, fits) in (("int", "bool"), ("int", "float"), ("text", "time")) and fits:
        kind = fits
    if kind == "int" and told.startswith("TINYINT(1)"):
        kind = "bool"
    nothing = Column(name, None, pa.nulls(len(values)), told, refers.get(name))
    if kind is None:
        return nothing
    typed = Typed(name, "text" if kind == "time" else kind, converts=kind in ("bool", "float"))
    try:
        array = to_batch(name, source, [typed], [(v,) for v in values], 1).column(0)
    except DataError:
        return nothing
    if kind in ("text", "time"):
        return _text(name, kind, array, told, refers.get(name), source, first.dialect)
    if kind == "int" and (unit := epoch_unit(name, array.drop_null())):
        times = to_microseconds(array, source.timezone, unit)
        return Column(name, "time", times, told, unit=unit)
    return Column(name, kind, array, told, refers.get(name))


def _text(
    name: str,
    kind: str,
    array: pa.Array,
    declared: str,
    refers: tuple[str, str] | None,
    source: SqlSource,
    dialect: str,
) -> Column:
    """A column of text, or of times if all of it reads as times."""
    try:
        if kind == "time" or pc.all(pc.match_substring_regex(array, r"^\d{4}-\d\d")).as_py():
            times = to_microseconds(array, source.timezone, None)
            # Elsewhere than in SQLite a time kept as text needs a cast to be compared.
            if kind == "time" or dialect == "sqlite":
                return Column(name, "time", times, declared, form=_form(array))
    except UnfitError:
        pass
    return Column(name, "text", array, declared, refers)


def _form(array: pa.Array) -> Literal["whole", "fraction", "other"]:
    if pc.all(pc.match_substring_regex(array, WHOLE)).as_py() is not False:
        return "whole"
    return "fraction" if pc.all(pc.match_substring_regex(array, FRACTION)).as_py() else "other"
