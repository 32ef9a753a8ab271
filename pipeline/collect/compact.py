"""Many small files of a day and source become few, beside collectors and whoever reads them.

At any moment, and after a kill at any, readers find each reading once: a compacted file appears
whole, and its name alone takes out what it stands for (``components.ingest.sensor.compacted``).
That goes later, when no run reads it any more.
"""

import contextlib
import datetime
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.durations import MICROSECONDS
from components.ingest.sensor.compacted import (
    compacted_name,
    naming,
    stands_for,
    superseded,
)
from pipeline.collect import landing
from pipeline.collect.messages import StreamError
from pipeline.settings.collect import Compact

_LOCK = ".compacting"
_FILES = "part-*.parquet"
_PIECE_BYTES = 64 << 20


class Compacted(NamedTuple):
    """What was done: ``files`` became ``into``, and ``removed`` of earlier times are gone."""

    files: int
    into: int
    removed: int


def compact(folder: Path, settings: Compact, now: float) -> Compacted:
    """Compacts what a collector landed.

    Args:
      folder: the collector's: days below ``readings`` and ``rejected``.
      settings: which days, and how.
      now: seconds since the epoch.

    Raises:
      StreamError: if it is being compacted already, a file can't be read or there is no room. What
        was done stays; the rest is as it was.
    """
    done = Compacted(0, 0, 0)
    if not folder.is_dir():
        return done
    with _alone(folder):
        landing.remove_leftovers(folder)
        for place in _places(folder):
            try:
                found = _compact(place, settings, now)
            except (OSError, pa.ArrowInvalid) as error:
                told = getattr(error, "strerror", None) or error
                raise StreamError(
                    f"{place} can't be compacted: {told}: nothing is lost, make room there or move "
                    "a file that is none away"
                ) from error
            done = Compacted(*map(sum, zip(done, found, strict=True)))
    return done


def _compact(place: Path, settings: Compact, now: float) -> Compacted:
    paths = [str(path) for path in sorted(place.glob(_FILES))]
    gone = superseded(paths)
    counting = [Path(path) for path in paths if path not in gone]
    removed = 0
    if gone:
        removed = _remove(place, counting, now - settings.keep / MICROSECONDS["s"])
    if not _is_over(place, now - settings.after / MICROSECONDS["s"]):
        return Compacted(0, 0, removed)
    groups = list(_groups(counting, settings.megabytes * 1e6))
    for group, schema in groups:
        _merge(place, group, schema)
    return Compacted(sum(len(group) for group, _ in groups), len(groups), removed)


def _places(folder: Path) -> list[Path]:
    kinds = (folder / landing.READINGS, folder / landing.REJECTED)
    return sorted({path.parent for kind in kinds for path in kind.glob(f"day=*/**/{_FILES}")})


def _is_over(place: Path, moment: float) -> bool:
    """Whether the day of a folder was over at a moment."""
    day = next(part for part in reversed(place.parts) if part.startswith("day="))
    try:
        first = datetime.datetime.fromisoformat(day.removeprefix("day="))
    except ValueError:
        return False
    return first.replace(tzinfo=datetime.timezone.utc).timestamp() + 86_400 <= moment


def _groups(paths: list[Path], limit: float) -> Iterator[tuple[list[Path], pa.Schema]]:
    """Files to put together, in their order: neighbours with the same columns, to some size."""
    group: list[Path] = []
    size, schema = 0, None
    for path in paths:
        bytes_, columns = path.stat().st_size, pq.read_schema(path).remove_metadata()
        if size + bytes_ > limit or columns != schema:
            if len(group) > 1:
                yield group, schema
            group, size, schema = [], 0, columns
        group.append(path)
        size += bytes_
    if len(group) > 1:
        yield group, schema


def _merge(place: Path, group: list[Path], schema: pa.Schema) -> None:
    """Writes a group's rows, in their order, as a file that stands for it."""
    # Those that some of the group stand for may not be removed yet.
    names = [name for path in group for name in (*stands_for(str(path)), path.name)]
    named = naming(schema, [name for name in names if (place / name).exists()])
    with (
        landing.new_file(place, compacted_name(group[-1].name)) as file,
        pq.ParquetWriter(file, named, compression=landing.COMPRESSION) as writer,
    ):
        for table in _tables(group):
            writer.write_table(table.replace_schema_metadata(named.metadata))


def _tables(group: list[Path]) -> Iterator[pa.Table]:
    """A group's rows in pieces that become a row group each."""
    pieces: list[pa.Table] = []
    size = 0
    for path in group:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                pieces.append(file.read_row_group(number, use_threads=False))
                size += pieces[-1].nbytes
                if size >= _PIECE_BYTES:
                    yield pa.concat_tables(pieces)
                    pieces, size = [], 0
    if pieces:
        yield pa.concat_tables(pieces)


def _remove(place: Path, compacted: list[Path], before: float) -> int:
    """Removes what files that were compacted before a moment stand for."""
    old = [
        place / name
        for path in compacted
        if path.stat().st_mtime <= before
        for name in stands_for(str(path))
    ]
    there = [path for path in old if path.exists()]
    for path in there:
        path.unlink()
    return len(there)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / _LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StreamError(f"{folder} is being compacted already: let that end") from error
        yield
