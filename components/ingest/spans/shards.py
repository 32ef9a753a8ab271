"""From kept days to the shards of a run's Examples: whole days as they are, the edges cut."""

import dataclasses
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.example_columns import flatten
from components.ingest.examples import ShardWriter, read_batches, shard_name
from components.ingest.plan import Times, no_rows
from components.ingest.source import RowSource
from components.ingest.spans.refresh import Refreshed
from components.ingest.spans.store import Day, DayStore
from components.ingest.whole_file import join

SHARD_ROWS = 100_000
"""Days are put together until a shard has so many rows; a larger day is a shard of its own."""


@dataclasses.dataclass(frozen=True)
class _Rows:
    """A file of a day's rows in the window."""

    path: str
    rows: int
    first: int
    last: int


def write_shards(
    name: str,
    source: RowSource,
    store: DayStore,
    refreshed: Refreshed,
    times: Times,
    folder: str,
) -> tuple[int, int, int]:
    """Writes the rows of a window.

    Args:
      name: the source's name.
      source: its settings.
      store: its days.
      refreshed: those of the window.
      times: the window.
      folder: the split's folder, which is there and empty.

    Returns:
      How many rows there are, and their first and last time, microseconds since the epoch.

    Raises:
      DataError: if there are none.
    """
    with store.shelf.workspace() as work:
        pieces = [
            piece
            for day in refreshed.days
            if (piece := _piece(source, store, day, refreshed.columns, times, work)) is not None
        ]
        if not pieces:
            raise no_rows(name, source.place(name), times)
        shards = list(_shards(pieces))
        for index, shard in enumerate(shards):
            target = f"{folder}/{shard_name(index, len(shards))}"
            join([piece.path for piece in shard], target)
    first, last = min(piece.first for piece in pieces), max(piece.last for piece in pieces)
    return sum(piece.rows for piece in pieces), first, last


def _piece(
    source: RowSource,
    store: DayStore,
    day: Day,
    columns: dict[str, str],
    times: Times,
    work: str,
) -> _Rows | None:
    """A day's rows in the window, in the columns' kinds; None if it has none there."""
    if not day.rows or day.first is None or day.last is None:
        return None
    if day.last < times.begin or day.first >= times.end:
        return None
    within = times.begin <= day.first and day.last < times.end
    floats = [name for name, kind in day.columns.items() if (kind, columns[name]) == _WIDENED]
    if within and not floats:
        return _Rows(store.path(day), day.rows, day.first, day.last)
    path = f"{work}/{uuid.uuid4().hex}.gz"
    first, last = times.end, times.begin - 1
    with ShardWriter(path) as writer:
        for batch in read_batches([store.path(day)]):
            flat = flatten(batch)
            at = flat.column(flat.schema.get_field_index(source.time))
            chosen = flat.filter(pc.and_(pc.greater_equal(at, times.begin), pc.less(at, times.end)))
            if chosen.num_rows:
                bounds = pc.min_max(chosen.column(chosen.schema.get_field_index(source.time)))
                first = min(first, bounds["min"].as_py())
                last = max(last, bounds["max"].as_py())
                writer.write(_with_floats(chosen, floats))
    return _Rows(path, writer.rows, first, last) if writer.rows else None


_WIDENED = ("int", "float")


def _with_floats(batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    """The batch with some columns of integers as floats, rounded as a source's reading does."""
    columns = [
        column.cast(pa.float64(), safe=False) if field.name in names else column
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _shards(pieces: list[_Rows]) -> Iterator[list[_Rows]]:
    shard: list[_Rows] = []
    for piece in pieces:
        if shard and sum(one.rows for one in shard) + piece.rows > SHARD_ROWS:
            yield shard
            shard = []
        shard.append(piece)
    yield shard
