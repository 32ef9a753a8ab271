"""Tables as files: whole or not there, on disk before they are acknowledged."""

import contextlib
import datetime
import fcntl
import hashlib
import os
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.ingest.durations import MICROSECONDS
from components.ingest.sensor.quarantine import as_text
from serving.folders import sync_folder

READINGS, REJECTED = "readings", "rejected"
NOBODY = "__HIVE_DEFAULT_PARTITION__"
"""The folder of readings whose source isn't told, as Hive and Arrow call it."""

COMPRESSION = "zstd"
_TEMPORARY = ".part-*.tmp"
_LONGEST_NAME = 200


def partitions(
    folder: Path, table: pa.Table, time: str, source: str | None, name: str = ""
) -> Iterator[tuple[Path, pa.Table]]:
    """Parts a table by day and source.

    Args:
      folder: where it goes.
      table: rows in the order of their arrival, which stays.
      time: the column of instants whose day, in UTC, counts.
      source: the column that names the source; None: all are of ``name``.
      name: the source of all; "" for folders by day alone.

    Yields:
      Folders, ``day=2025-04-17/source=gateway-3``, and what goes there.
    """
    instants = pc.fill_null(table.column(time).cast(pa.int64()), 0).to_numpy()
    days, day_of = np.unique(instants // MICROSECONDS["d"], return_inverse=True)
    sources, source_of = [name], np.zeros(len(table), np.int64)
    if source is not None:
        encoded = as_text(table.column(source).combine_chunks()).dictionary_encode()
        sources = [text or NOBODY for text in [*encoded.dictionary.to_pylist(), None]]
        codes = pc.fill_null(encoded.indices, len(sources) - 1)
        source_of = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    group = day_of * len(sources) + source_of
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    for begin, end in zip(begins, [*begins[1:], len(order)], strict=True):
        day, code = divmod(int(group[order[begin]]), len(sources))
        path = folder / f"day={np.datetime64(int(days[day]), 'D')}"
        if sources[code]:
            path /= f"source={_folder_name(sources[code])}"
        yield path, table.take(pa.array(order[begin:end]))


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, so that they outlast a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


@contextlib.contextmanager
def new_file(folder: Path, name: str) -> Iterator[IO[bytes]]:
    """A file that appears under its name when the block ends well: whole and on disk.

    Raises:
      OSError: if there is no room, or the disk fails; then nothing appears.
    """
    temporary = folder / f".{name}.tmp"
    try:
        with temporary.open("xb") as file:
            # Held until the file is closed, by us or by our death: it tells remove_leftovers.
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(folder)


def land(folder: Path, table: pa.Table) -> None:
    """Writes a table as a file of its own; see new_file."""
    make_folder(folder)
    moment = datetime.datetime.now(datetime.timezone.utc)
    name = f"part-{moment:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}.parquet"
    with new_file(folder, name) as file:
        pq.write_table(table, file, compression=COMPRESSION)


def remove_leftovers(folder: Path) -> int:
    """Removes files that collectors were killed over; returns how many."""
    removed = 0
    for path in folder.rglob(_TEMPORARY):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            removed += 1
    return removed


def _folder_name(source: str) -> str:
    quoted = urllib.parse.quote(source, safe=" ")
    if len(quoted) <= _LONGEST_NAME:
        return quoted
    return f"{quoted[:_LONGEST_NAME]}-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
