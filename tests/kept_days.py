"""A window read whole and read by day, in plain functions: both as sorted rows, to be compared."""

from pathlib import Path
from typing import Any

import numpy as np

from components.ingest.examples import read_table
from components.ingest.plan import Times
from components.ingest.source import RowSource
from components.ingest.spans.days import days_of
from components.ingest.spans.reading import read_stretches
from components.ingest.spans.refresh import look, refresh
from components.ingest.spans.shards import write_shards
from components.ingest.spans.store import DayStore

Row = tuple[tuple[str, Any], ...]


def whole_read(name: str, source: RowSource, times: Times) -> list[Row]:
    """What a read of the whole window gives, as tf.Examples hold it."""
    plan = source.plan(name, times)
    batches = [
        batch for part in plan.partitions for batch in source.read(name, times, plan.columns, part)
    ]
    return _sorted(row for batch in batches for row in batch.to_pylist())


def read_by_day(
    name: str, source: RowSource, times: Times, folder: Path, as_of: int | None = None
) -> tuple[list[Row], list[int]]:
    """What kept days give, and the days that were read for it.

    Args:
      name: the source's name.
      source: its settings, with ``incremental``.
      times: the window.
      folder: where its shards go; made here.
      as_of: when the run stands; by default at the window's end.
    """
    folder.mkdir()
    store, days = DayStore(name, source), days_of(times.begin, times.end)

    def read(stretches: Any, watermarks: dict[int, str], seen: int) -> Any:
        return read_stretches(name, source, store, stretches, watermarks, seen)

    due = look(name, source, days, as_of or times.end)
    refreshed = refresh(name, source, store, days, due, read)
    rows, first, last = write_shards(name, source, store, refreshed, times, str(folder))
    table = read_table(sorted(str(path) for path in folder.iterdir()))
    assert table.num_rows == rows
    held = table[source.time].to_pylist()
    assert (first, last) == (min(held), max(held))
    store.prune(days.start - 30)
    return _sorted(table.to_pylist()), [day.day for day in refreshed.read]


def _sorted(rows: Any) -> list[Row]:
    return sorted((tuple(sorted((k, _held(v)) for k, v in row.items())) for row in rows), key=repr)


def _held(value: Any) -> Any:
    """A value as a tf.Example has it; None and an absent list are the same."""
    if isinstance(value, list):
        return [_held(one) for one in value] or None
    if isinstance(value, float):
        return None if np.isnan(value) else float(np.float32(value))
    if isinstance(value, str):
        return value.encode()
    return int(value) if isinstance(value, bool) else value
