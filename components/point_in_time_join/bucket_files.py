"""Rows on their way to buckets, in files: memory holds those of one batch."""

import uuid
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from components.ingest.paths import is_remote, open_file
from components.ingest.room import writing

Sent = tuple[str, int]
"""A file's path, and how many streams it holds."""


class BucketFiles:
    """A file for each bucket, of Arrow streams one after the other: batches differ in columns.

    Files have names of their own, so that work that is done again overwrites nothing.

    Args:
      folder: where they go; it must exist if it is local.
    """

    def __init__(self, folder: str) -> None:
        self._prefix = f"{folder}/{uuid.uuid4().hex}"
        self._options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._open: dict[int, IO[bytes]] = {}
        self._streams: dict[int, int] = {}

    def write(self, bucket: int, rows: pa.RecordBatch) -> None:
        """Adds rows, with their schema's metadata."""
        with writing(self._path(bucket)):
            if bucket not in self._open:
                self._open[bucket] = open_file(self._path(bucket), "wb")
                self._streams[bucket] = 0
            file = self._open[bucket]
            with pa.ipc.new_stream(file, rows.schema, options=self._options) as stream:
                stream.write_batch(rows)
        self._streams[bucket] += 1

    def close(self) -> dict[int, Sent]:
        """Ends the files; by bucket what was sent to it."""
        for bucket, file in self._open.items():
            with writing(self._path(bucket)):
                file.close()
        return {bucket: (self._path(bucket), n) for bucket, n in self._streams.items()}

    def _path(self, bucket: int) -> str:
        return f"{self._prefix}-{bucket:05d}.arrow"


def read_sent(sent: Sent) -> Iterator[pa.Table]:
    """The tables that were written to a file, in their order."""
    path, streams = sent
    file = open_file(path, "rb") if is_remote(path) else pa.OSFile(path)
    with file:
        for _ in range(streams):
            yield pa.ipc.open_stream(file).read_all()
