"""Reading days: one query for days next to each other, its rows put down by day.

Plain functions: SqlExampleGen reads the parts side by side on Beam, ``backfill`` one by one.
"""

import contextlib
import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.ingest import patience
from components.ingest.durations import format_instant
from components.ingest.errors import DataError
from components.ingest.examples import ShardWriter
from components.ingest.plan import Column, NoRowsError, Plan
from components.ingest.source import RowSource
from components.ingest.spans.days import DAY, times_of, write_day
from components.ingest.spans.store import Day, DayStore

STRETCH = 64
"""Days at most that one query reads: each part of it holds a file open for each."""

_WAITING_ROWS = 65_536


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Days next to each other that one query reads.

    Attributes:
      days: which.
      plan: the columns, and the parts that the query is cut into; none where there are no rows.
      identity: the store's, see ``RowSource.identity``.
    """

    days: range
    plan: Plan
    identity: str


@dataclasses.dataclass(frozen=True)
class Piece:
    """A day's rows in one part of a query.

    Attributes:
      day: which.
      path: the file of tf.Examples.
      rows: how many.
      first: the earliest time, microseconds since the epoch.
      last: the latest.
    """

    day: int
    path: str
    rows: int
    first: int
    last: int


def plan_stretch(name: str, source: RowSource, days: range) -> Stretch:
    """Settles a stretch's columns and cuts it into parts; no rows are no error here.

    Raises:
      DataError: as ``RowSource.plan``.
    """
    identity = source.identity(name)
    try:
        return Stretch(days, patience.plan_parts(name, source, times_of(days)), identity)
    except NoRowsError:
        return Stretch(days, Plan((), ()), identity)


def read_part(
    name: str,
    source: RowSource,
    days: range,
    columns: Sequence[Column],
    partition: Any,
    folder: str,
) -> list[Piece]:
    """Reads a part of a stretch.

    Args:
      name: the source's name.
      source: its settings.
      days: the stretch.
      columns: the plan's.
      partition: one of the plan's parts.
      folder: where the days' files go, under names of this call's own.

    Returns:
      The days that have rows in this part.

    Raises:
      DataError: as ``RowSource.read``; or a row lies outside of the days that were asked for.
    """
    with contextlib.ExitStack() as files:
        writer, current = _ByDay(files, folder), 1
        for attempt, batch in patience.read_part(name, source, times_of(days), columns, partition):
            if attempt > current:
                # What an earlier try wrote does not count, and goes with the folder.
                writer, current = _ByDay(files, folder), attempt
            if batch.num_rows:
                writer.write(name, source.time, days, batch)
        writer.flush()
    return writer.pieces


def read_stretches(
    name: str,
    source: RowSource,
    store: DayStore,
    stretches: Sequence[range],
    watermarks: dict[int, str],
    seen: int,
) -> Iterator[Day]:
    """Reads stretches one after the other, and keeps each as soon as it is whole.

    Args:
      name: the source's name.
      source: its settings.
      store: its days.
      stretches: which days, see ``spans.days.stretches``.
      watermarks: see ``keep``.
      seen: see ``keep``.

    Raises:
      DataError: as ``plan_stretch`` and ``read_part``.
    """
    for days in stretches:
        stretch = plan_stretch(name, source, days)
        with store.shelf.workspace() as work:
            parts = [
                read_part(name, source, days, stretch.plan.columns, partition, work)
                for partition in stretch.plan.partitions
            ]
            source.check_identity(name, stretch.identity)
            yield from keep(store, stretch, parts, watermarks, seen, work)


def keep(
    store: DayStore,
    stretch: Stretch,
    parts: Sequence[Sequence[Piece]],
    watermarks: dict[int, str],
    seen: int,
    work: str,
) -> list[Day]:
    """Puts the days of a stretch into the store once all its parts were read.

    Args:
      store: the source's.
      stretch: what was read.
      parts: what each part found, in order.
      watermarks: by day what told its state before it was read.
      seen: when that was, microseconds since the epoch.
      work: the store's workspace that the pieces lie in.
    """
    columns = {column.name: column.kind for column in stretch.plan.columns}
    kept = []
    for day in stretch.days:
        found = [piece for part in parts for piece in part if piece.day == day]
        told = Day(
            day,
            None,
            rows=sum(piece.rows for piece in found),
            first=min((piece.first for piece in found), default=None),
            last=max((piece.last for piece in found), default=None),
            columns=columns if found else {},
            watermark=watermarks.get(day, ""),
            seen=seen,
        )
        kept.append(store.put(told, [piece.path for piece in found], work))
    return kept


class _ByDay:
    """Writes rows to a file a day, many rows at a time; ``files`` closes what it opens."""

    def __init__(self, files: contextlib.ExitStack, folder: str) -> None:
        self._files = files
        self._path = f"{folder}/{uuid.uuid4().hex[:12]}"
        self._writers: dict[int, ShardWriter] = {}
        self._bounds: dict[int, tuple[int, int]] = {}
        self._waiting: dict[int, list[pa.RecordBatch]] = {}
        self._rows = 0

    @property
    def pieces(self) -> list[Piece]:
        """The days that have rows."""
        return [
            Piece(day, writer.path, writer.rows, *self._bounds[day])
            for day, writer in sorted(self._writers.items())
        ]

    def write(self, name: str, time: str, days: range, batch: pa.RecordBatch) -> None:
        """Adds rows; see ``read_part``."""
        times = batch.column(batch.schema.get_field_index(time)).to_numpy()
        day_of = times // DAY
        outside = np.flatnonzero((day_of < days.start) | (day_of >= days.stop))
        if len(outside):
            raise _outside(name, time, days, int(times[outside[0]]))
        if day_of.min() < day_of.max():
            order = np.argsort(day_of, kind="stable")
            batch, times, day_of = batch.take(pa.array(order)), times[order], day_of[order]
        begins = np.flatnonzero(np.diff(day_of, prepend=day_of[0] - 1)).tolist()
        for begin, end in zip(begins, [*begins[1:], len(times)], strict=True):
            day, own = int(day_of[begin]), times[begin:end]
            low, high = self._bounds.get(day, (own[0], own[0]))
            self._bounds[day] = (int(min(low, own.min())), int(max(high, own.max())))
            self._waiting.setdefault(day, []).append(batch.slice(begin, end - begin))
        self._rows += batch.num_rows
        if self._rows >= _WAITING_ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes down what waits."""
        for day, batches in self._waiting.items():
            if day not in self._writers:
                writer = ShardWriter(f"{self._path}-{write_day(day)}.gz")
                self._writers[day] = self._files.enter_context(writer)
            for block in pa.Table.from_batches(batches).combine_chunks().to_batches():
                self._writers[day].write(block)
        self._waiting, self._rows = {}, 0


def _outside(name: str, time: str, days: range, found: int) -> DataError:
    return DataError(
        name,
        f"column {time!r}",
        f"a row of {format_instant(found)} came when {write_day(days[0])} to {write_day(days[-1])} "
        "(in UTC) was asked for: what is read by day must give the rows with begin <= time < end",
        f"Compare {time} with :begin and :end in the query, or leave incremental out",
    )
