"""Clean readings put down by entity, so that windows are computed of a few entities at a time."""

import contextlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typing_extensions

from components.ingest.paths import is_remote, open_file
from components.ingest.sensor.plan import Plan, hash_entities
from components.ingest.sensor.quarantine import QUARANTINE
from components.ingest.whole_file import whole_file


class BucketWriter:
    """Parts readings by a hash of their entity into files, one a bucket; a context manager.

    Writing the same readings again under the same name, as Beam does when it retries, replaces the
    files by their like.

    Args:
      plan: the settings.
      folder: where the files go.
      name: part of the files' names: which portion of the source this is.
      buckets: how many buckets there are.

    Attributes:
      files: after the exit, by bucket the path of its file; buckets without readings have none.
    """

    def __init__(self, plan: Plan, folder: str, name: str, buckets: int) -> None:
        self._schema = plan.schema
        self._path = f"{folder}/{name}-{{:05d}}.arrow"
        self._buckets = buckets
        self._open: dict[int, Any] = {}
        self._closing = contextlib.ExitStack()
        self.files: dict[int, str] = {}

    def __enter__(self) -> typing_extensions.Self:
        return self

    def write(self, readings: pa.RecordBatch) -> None:
        """Adds readings."""
        self.append(self.part(readings))

    def part(self, readings: pa.RecordBatch) -> list[tuple[int, pa.RecordBatch]]:
        """Readings by bucket; may be called in any thread."""
        if not readings.num_rows:
            return []
        if self._buckets == 1:
            return [(0, readings)]
        bucket = hash_entities(readings.column(0), self._buckets).astype(np.uint16)
        order = np.argsort(bucket, kind="stable")
        sorted_rows = readings.take(pa.array(order))
        counts = np.bincount(bucket, minlength=self._buckets)
        begins = np.cumsum(counts) - counts
        return [
            (index, sorted_rows.slice(int(begins[index]), int(counts[index])))
            for index in np.flatnonzero(counts).tolist()
        ]

    def append(self, parts: list[tuple[int, pa.RecordBatch]]) -> None:
        """Adds what ``part`` gave."""
        for bucket, readings in parts:
            if bucket not in self._open:
                file = self._closing.enter_context(whole_file(self._path.format(bucket)))
                self._open[bucket] = pa.ipc.new_stream(file, self._schema)
            self._open[bucket].write_batch(readings)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._closing.__exit__(kind, error, trace)
            return
        with self._closing:
            for writer in self._open.values():
                writer.close()
        self.files = {bucket: self._path.format(bucket) for bucket in self._open}


def read_bucket(plan: Plan, paths: list[str]) -> pa.Table:
    """A bucket's readings, from the files of all portions."""
    batches: list[pa.RecordBatch] = []
    for path in sorted(set(paths)):
        stream = open_file(path, "rb") if is_remote(path) else pa.memory_map(path)
        with stream, pa.ipc.open_stream(stream) as reader:
            batches.extend(reader)
    return pa.Table.from_batches(batches, schema=plan.schema)


class QuarantineWriter:
    """Writes quarantine rows to a Parquet file that appears when it is whole; none without rows."""

    def __init__(self, path: str) -> None:
        self._file = whole_file(path)
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> typing_extensions.Self:
        return self

    def write(self, rows: list[pa.Table]) -> None:
        """Adds rows; see QUARANTINE."""
        if not rows:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file.__enter__(), QUARANTINE)
        self._writer.write_table(pa.concat_tables(rows))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._writer is None:
            return
        with contextlib.ExitStack() as closing:
            closing.push(self._file)
            # After an error too: left open, it would write into the closed file when collected.
            with contextlib.nullcontext() if kind is None else contextlib.suppress(OSError):
                self._writer.close()
            if error is not None:
                raise error
