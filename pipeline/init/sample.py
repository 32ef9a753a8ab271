"""From a column's sampled values to what kind of column it is."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.errors import DataError
from components.ingest.plan import Column as Typed
from components.ingest.sources import SqlSource
from components.ingest.sql.columns import kind_of_values, to_batch
from components.ingest.sql.schema import FirstRows
from components.ingest.sql.times import UnfitError, to_microseconds
from pipeline.init.facts import FRACTION, WHOLE, Column, epoch_unit

_DECLARED = {
    "bool": ("BOOL",),
    "time": ("DATE", "TIMESTAMP"),
    "float": ("DEC", "NUM", "FLOAT", "DOUBLE", "REAL"),
}


def column_of(
    source: SqlSource,
    first: FirstRows,
    position: int,
    declared: dict[str, str],
    refers: dict[str, tuple[str, str]],
) -> Column:
    """Settles a column's kind, by its declared type, the driver's and its values.

    Args:
      source: the database.
      first: the sampled rows.
      position: the column's place in them.
      declared: by column the type that the database names.
      refers: by column the table and column that a foreign key names.
    """
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
