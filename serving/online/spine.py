"""The spine's columns at a time: its row at that very time, else its newest one before."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from components.ingest.durations import MICROSECONDS, format_duration, format_instant
from components.ingest.entities import encode_entities, entity_values
from components.ingest.errors import DataError
from components.ingest.plan import FAR_FUTURE, Times
from components.ingest.sources import SqlSource
from components.ingest.sql.entities import Entity, entity_rows
from components.ingest.windows import Ints
from components.point_in_time_join.asof import as_of
from components.point_in_time_join.feeds import usable_rows
from serving.online.stored import as_stored

_FIRST_LOOK = 7 * MICROSECONDS["d"]


def read_entity(name: str, kind: str, entity: object) -> Entity:
    """An entity in the type that the spine has.

    Args:
      name: the spine's name, for messages.
      kind: ``int``, ``text`` or ``bytes``.
      entity: as a program or the command line gives it.

    Raises:
      DataError: if the spine's entities are numbers and this is none.
    """
    if kind == "int":
        try:
            return int(str(entity))
        except ValueError:
            raise DataError(
                name, "entity", "expected a whole number", "Name an entity of the spine", entity
            ) from None
    if kind == "bytes":
        return entity if isinstance(entity, bytes) else str(entity).encode()
    return entity.decode() if isinstance(entity, bytes) else str(entity)


def spine_at(
    name: str,
    source: SqlSource,
    label: str,
    observations: Sequence[tuple[Entity, int]],
    until: int,
    max_age: int,
) -> tuple[pa.Table, Ints]:
    """The spine's columns for entities at times.

    Args:
      name: the spine's name, for messages.
      source: its settings.
      label: the label's column, which is left out: at that time nobody can know it.
      observations: m entities and times, microseconds.
      until: bound as ``:as_of``.
      max_age: how old the newest row may be, microseconds.

    Returns:
      m rows in the order of the observations, as stored in Examples, their times those asked for;
      and int64[m], the times of the rows that gave the columns.

    Raises:
      DataError: if an entity is unknown, or has no row at its time that is young enough.
    """
    entities = list(dict.fromkeys(entity for entity, _ in observations))
    times = np.array([time for _, time in observations], np.int64)
    last = int(times.max()) + 1
    for begin in (int(times.min()) - min(_FIRST_LOOK, max_age), int(times.min()) - max_age):
        rows = entity_rows(name, source, Times(max(begin, 0), last, until), entities)
        found, stored = _match(name, source, rows, observations, times, max_age)
        if (found >= 0).all():
            break
    else:
        entity, time = observations[int(np.flatnonzero(found < 0)[0])]
        raise _nothing(name, source, entity, time, until, max_age)
    taken = stored.take(pa.array(found))
    used = np.asarray(taken[source.time], np.int64)
    taken = taken.set_column(taken.column_names.index(source.time), source.time, pa.array(times))
    return without(taken, label), used


def spine_between(
    name: str, source: SqlSource, label: str, begin: int, end: int, until: int
) -> pa.Table:
    """The spine's rows of a stretch of time, by entity and time, as stored in Examples.

    Args:
      name: the spine's name, for messages.
      source: its settings.
      label: the label's column, which is left out.
      begin: the first instant, microseconds.
      end: the first instant not wanted any more.
      until: bound as ``:as_of``.
    """
    stored = as_stored(entity_rows(name, source, Times(begin, end, until)))
    if not len(stored):
        return without(stored, label)
    times = np.asarray(stored[source.time], np.int64)
    (codes,), _ = encode_entities([entity_values(stored[source.entity], name, source.entity)])
    order = np.lexsort((times, codes))
    order = order[(times[order] >= begin) & (times[order] < end)]
    return without(stored.take(pa.array(order)), label)


def without(table: pa.Table, column: str) -> pa.Table:
    """The table without a column that it may have."""
    return table.drop([column]) if column in table.column_names else table


def _match(
    name: str,
    source: SqlSource,
    rows: pa.Table,
    observations: Sequence[tuple[Entity, int]],
    times: Ints,
    max_age: int,
) -> tuple[Ints, pa.Table]:
    stored = as_stored(rows)
    asked = entity_values(pa.array([e for e, _ in observations]), name, source.entity)
    usable = usable_rows(stored, name, source.entity, source.time)
    (entity, row_entity), _ = encode_entities([asked, usable.entity])
    return as_of(entity, times, row_entity, usable.time, None, max_age), usable.table


def _nothing(
    name: str, source: SqlSource, entity: Entity, time: int, until: int, max_age: int
) -> DataError:
    rows = entity_rows(name, source, Times(0, FAR_FUTURE, until), [entity])
    if not len(rows):
        return DataError(
            name,
            f"column {source.entity!r}",
            "no row of the spine has this entity",
            "Name one that it has, written as there, or check the query's conditions",
            entity,
        )
    known = usable_rows(as_stored(rows), name, source.entity, source.time).time
    return DataError(
        name,
        f"column {source.time!r}, entity {entity!r}, at {format_instant(time)}",
        f"the time lies outside the data: rows are from {format_instant(int(known.min()))} to "
        f"{format_instant(int(known.max()))}, and the newest one before may be "
        f"{format_duration(max_age)} old",
        "Ask for a time in the data, or wait until newer rows are there",
    )
