"""Files that change while a run reads them: what was there when it looked counts, or it stops.

A gateway may go on writing to a text file: what it adds is left to the next run, whose cache key it
changes. Any other change would mix two states of a file, and is an error.
"""

import contextlib
from collections.abc import Iterator

from components.ingest.errors import DataError
from components.ingest.paths import is_remote
from components.ingest.sensor import stores
from components.ingest.sensor.files import Part


@contextlib.contextmanager
def unchanged(name: str, part: Part) -> Iterator[None]:
    """Reads a part in the block.

    Raises:
      DataError: if the file is not, before and after, what it was when the run looked; this goes
        before what the block raises. An object store is asked afterwards only.
    """
    if not is_remote(part.path):
        _check(name, part)
    try:
        yield
    except (DataError, OSError, EOFError):
        _check(name, part)
        raise
    _check(name, part)


def grown(part: Part) -> bool:
    """Whether a text file has grown since the run looked."""
    return part.seen is not None and stores.stat(part.path).size > part.seen.size


def _check(name: str, part: Part) -> None:
    change = _change(part)
    if change is not None:
        raise DataError(
            name,
            part.path,
            f"it changed while the run read it: {change}",
            "Run again. Let files take their name when they are whole (write beside it, then mv), "
            f"or narrow sources.{name}.path to files that are closed",
        )


def _change(part: Part) -> str | None:
    """What happened to a file since the run looked, if it matters."""
    if part.seen is None:
        return None
    before = part.seen
    try:
        now = stores.stat(part.path)
    except FileNotFoundError:
        return "it is gone"
    if now == before:
        return None
    if now.inode != before.inode:
        return "another file has its name"
    if now.size < before.size:
        return f"it was cut from {before.size:,} to {now.size:,} bytes"
    if now.size == before.size:
        return "it was written over"
    if part.format == "parquet" or part.compressed or is_remote(part.path):
        return f"it grew from {before.size:,} to {now.size:,} bytes"
    return None if stores.ending(part.path, before.size) == before.ending else "it was written over"
