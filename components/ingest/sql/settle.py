"""What a source's columns are: settled once, from their names, the first rows and the settings."""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from components.ingest.errors import DataError
from components.ingest.plan import Column
from components.ingest.source import RowSource
from components.ingest.sources import SqlSource
from components.ingest.sql.columns import kind_of_values


def settle(
    name: str,
    source: RowSource,
    names: list[str],
    rows: Sequence[Any],
    kinds: Sequence[tuple[str | None, str]] | None = None,
    probe: Callable[[str, str], str | None] | None = None,
) -> list[Column]:
    """Settles the columns' kinds.

    Args:
      name: the source's name, for messages.
      source: its settings; ``types:`` goes before all else.
      names: the columns' names.
      rows: the first rows, at least one: tuples of Python values.
      kinds: by column a kind, or None where the type map has none for it, and the type's own name;
        None for sources that don't say.
      probe: asked with a column and its kind so far (``'null'`` or ``'int'``) where the first rows
        may not settle it.

    Raises:
      DataError: if two columns have one name, one that the settings name is not there, a type has
        no place in the type map, or the entity is of an unfit kind.
    """
    _check_names(name, source, names)
    columns = []
    for position, values in enumerate(zip(*rows, strict=True)):
        column = names[position]
        required = column in (source.entity, source.time)
        is_time = column in (source.time, source.known_at)
        wanted = "time" if is_time else source.types.get(column)
        if wanted is not None:
            columns.append(Column(column, wanted, converts=True, required=required))
            continue
        kind, type_name = kinds[position] if kinds else ("null", "")
        if kind == "null":
            kind = kind_of_values(values)
            type_name = next((type(value).__name__ for value in values if value is not None), "")
            # An entity is an integer from its first row on: no float can make it another kind.
            settled = kind == "int" and column == source.entity
            if probe is not None and kind in ("null", "int") and not settled:
                kind = probe(column, kind)
        if kind is None:
            raise _without_place(name, source, column, type_name, values)
        columns.append(Column(column, kind, required=required))
    _check_entity(name, source, columns, rows)
    return columns


def _without_place(
    name: str, source: RowSource, column: str, type_name: str, values: Sequence[Any]
) -> DataError:
    row, value = next(((i, v) for i, v in enumerate(values, 1) if v is not None), (1, None))
    return DataError(
        name,
        f"column {column!r}, row {row}",
        f"its type {type_name} cannot be mapped to a feature",
        f"{source.cast_hint.format(column=column)}, take its parts as columns, or leave it out",
        value,
    )


def _check_names(name: str, source: RowSource, names: list[str]) -> None:
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise DataError(
            name,
            f"query, column {twice[0]!r}",
            f"two columns of the result have this name (the columns are {', '.join(names)})",
            f"Give each its own name with AS, such as m.{twice[0]} AS m_{twice[0]}",
        )
    partitions = source.partitions if isinstance(source, SqlSource) else None
    wanted = {
        "entity": source.entity,
        "time": source.time,
        "known_at": source.known_at,
        "partitions.column": partitions.column if partitions else None,
        **{f"types.{column}": column for column in source.types},
    }
    for setting, column in wanted.items():
        if column is None or column in names:
            continue
        lowered = {other.lower(): other for other in reversed(names)}
        near = difflib.get_close_matches(column.lower(), lowered, 1, 0.5)
        hint = f"Did you mean {lowered[near[0]]!r}? " if near else ""
        raise DataError(
            name,
            f"column {column!r}",
            f"the source's {setting} names it, but the result's columns are {', '.join(names)}",
            f"{hint}Select it in the query, or change the setting",
        )


def _check_entity(name: str, source: RowSource, columns: list[Column], rows: Sequence[Any]) -> None:
    position = [column.name for column in columns].index(source.entity)
    column = columns[position]
    if column.kind in ("int", "text", "bytes"):
        return
    value = next((row[position] for row in rows if row[position] is not None), None)
    if column.kind == "null":
        rule, mend = "it is NULL", source.filter_hint.format(column=column.name)
    else:
        rule = f"the entity is of kind {column.kind}, but must be int, text or bytes"
        cast = source.cast_hint.format(column=column.name)
        mend = f"{cast}, or set types: {{{column.name}: int}} (or text) in the source"
    raise DataError(name, f"column {column.name!r}, row 1", rule, mend, value)
