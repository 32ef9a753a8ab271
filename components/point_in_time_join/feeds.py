"""Feeds: the tables that are joined, one a source of rows, one for each window step of a sensor."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from components.ingest.durations import parse_duration
from components.ingest.entities import entity_values
from components.ingest.errors import DataError
from components.ingest.kinds import AnySource
from components.ingest.source import EventWindow, RowSource
from components.ingest.windows import Ints

ALL = "all"
"""The split that a source of rows's artifact holds; a sensor's are named ``every_1h``."""


@dataclasses.dataclass(frozen=True)
class Feed:
    """How one table is joined.

    Attributes:
      name: the source's name and, for a sensor, the step: ``telemetry/every_1h``.
      source: the source's name: the prefix of its columns.
      entity: the column of the entity.
      time: the column of the event time.
      known_at: the column of the known-at time, or None: events are known as they happen.
      tolerance: the greatest age at which a row is joined, microseconds; None: any.
      windows: aggregates over events; without any the latest row's columns are joined.
    """

    name: str
    source: str
    entity: str
    time: str
    known_at: str | None
    tolerance: int | None
    windows: tuple[EventWindow, ...] = ()

    @property
    def keys(self) -> list[str]:
        """The columns that are no features."""
        return [c for c in (self.entity, self.time, self.known_at) if c is not None]

    @property
    def aggregated(self) -> list[str]:
        """The columns that windows read, without repeats."""
        return list(dict.fromkeys(c for window in self.windows for c in window.aggregate))


def feeds_of(name: str, source: AnySource, splits: Iterable[str]) -> dict[str, Feed]:
    """The feeds of a source.

    A sensor's windows end on a grid; the latest one is at most a step old, if it was known at
    once and had readings. Without ``tolerance`` one more step is allowed for: an observation may
    then miss one window, not two.

    Args:
      name: the source's name.
      source: its settings.
      splits: names of the splits that its artifact holds.

    Returns:
      By split, in the splits' order.

    Raises:
      DataError: if a sensor's split is not named after its step.
    """
    if isinstance(source, RowSource):
        return {
            split: Feed(
                name,
                name,
                source.entity,
                source.time,
                source.known_at,
                source.tolerance,
                tuple(source.windows),
            )
            for split in splits
        }
    feeds = {}
    for split in sorted(splits):
        try:
            step = parse_duration(split.removeprefix("every_"))
        except ValueError:
            raise DataError(
                name,
                "split",
                "expected a name such as 'every_1h', after the step of its windows",
                "Give the join the output of SensorExampleGen",
                value=split,
            ) from None
        tolerance = source.tolerance or 2 * step
        feeds[split] = Feed(f"{name}/{split}", name, source.entity, "time", "known_at", tolerance)
    return feeds


@dataclasses.dataclass(frozen=True)
class Rows:
    """A table's rows that can be joined.

    Attributes:
      table: n rows.
      entity: n entities as ``entity_values`` gives them, none missing.
      time: int64[n], event times, microseconds.
      known: int64[n], known-at times, or None.
      left_out: how many rows were left out, by reason.
    """

    table: pa.Table
    entity: pa.Array
    time: Ints
    known: Ints | None
    left_out: dict[str, int]


def usable_rows(
    table: pa.Table, source: str, entity: str, time: str, known_at: str | None = None
) -> Rows:
    """Takes the rows that have an entity and all times; the others are counted.

    A row without a known-at time is left out: nobody can say that it was known.

    Raises:
      DataError: if a key column is absent or of a type that it may not have.
    """
    check_columns(source, table.column_names, [c for c in (entity, time, known_at) if c])
    entities = entity_values(table[entity], source, entity)
    usable = np.ones(len(table), bool)
    left_out: dict[str, int] = {}

    def leave_out(column: pa.Array | pa.ChunkedArray, reason: str) -> None:
        nonlocal usable
        missing = np.asarray(column.is_null()) & usable
        if missing.any():
            left_out[reason] = int(missing.sum())
            usable = usable & ~missing

    leave_out(entities, "entity missing")
    times = _instants(table[time], source, time)
    leave_out(times, "time missing")
    known = None
    if known_at is not None:
        known = _instants(table[known_at], source, known_at)
        leave_out(known, "known-at time missing")
    if left_out:
        kept = pa.array(np.flatnonzero(usable))
        table, entities, times = table.take(kept), entities.take(kept), times.take(kept)
        known = None if known is None else known.take(kept)
    return Rows(
        table,
        entities,
        np.asarray(times, np.int64),
        None if known is None else np.asarray(known, np.int64),
        left_out,
    )


def check_columns(source: str, present: Iterable[str], needed: Iterable[str]) -> None:
    """Refuses a source that lacks a column.

    Raises:
      DataError: naming the first column that is not there, and those that are.
    """
    there = sorted(set(present))
    for column in needed:
        if column not in there:
            raise DataError(
                source,
                f"column {column!r}",
                "no row has it",
                f"Let the query give it, or name one of its columns: {', '.join(there)}",
            )


def _instants(column: pa.ChunkedArray, source: str, name: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column.cast(pa.int64())
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
    present = column.drop_null()
    raise DataError(
        source,
        f"time column {name!r}",
        f"expected a time, found {kind}",
        f"In a SQL source set types: {{{name}: time}}, or cast it in the query",
        value=present[0].as_py() if len(present) else None,
    )
