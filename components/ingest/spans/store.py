"""Where days are kept: a folder of a source's, with a file of tf.Examples and an entry by day.

An entry is replaced whole and names its day's file; a day that is read again gets a new file. So
runs at the same time see a whole day, the old or the new one, and which of two is kept in the end
makes no difference: both were read.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import logging
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.ingest import paths
from components.ingest.durations import MICROSECONDS
from components.ingest.errors import DataError
from components.ingest.spans.days import read_day, write_day

if TYPE_CHECKING:
    # Sources name their settings of reading by day.
    from components.ingest.source import RowSource

FORMAT = 1
"""Raised when the same rows become other Examples than before."""

GRACE = MICROSECONDS["d"]
"""A file without an entry may belong to a run under way: it goes when it is older than this."""

ABANDONED = 30 * MICROSECONDS["d"]
"""Days that were read for other settings go when none was added for so long."""

_ENTRY = ".json"
_WORK = ".work"
_RENEWED = "renewed"
_READERS = 16

_NOT_CONTENT = {
    "batch_rows",
    "connect_attempts",
    "incremental",
    "partitions",
    "tolerance",
    "url",
    "url_env",
    "watermark",
    "windows",
}


@dataclasses.dataclass(frozen=True)
class Day:
    """What was read of a day.

    Attributes:
      day: its number, see ``spans.days``.
      file: the name of its file of tf.Examples; None where it has no rows.
      rows: how many it has.
      first: the earliest of their times, microseconds since the epoch; None without rows.
      last: the latest.
      columns: by column its kind; empty without rows.
      watermark: what told the day's state just before it was read; empty where nothing does.
      seen: the instant at which it was read, microseconds since the epoch.
    """

    day: int
    file: str | None
    rows: int
    first: int | None
    last: int | None
    columns: dict[str, str]
    watermark: str
    seen: int


class DayStore:
    """A source's days, read with the same settings from the same place.

    Attributes:
      folder: where they lie.
    """

    def __init__(self, name: str, source: "RowSource") -> None:
        """Finds the folder; makes none.

        Args:
          name: the source's name.
          source: its settings; those that decide what a day holds are part of the folder's name.

        Raises:
          DataError: if the settings or the environment don't tell the source's place.
        """
        directory = source.incremental and source.incremental.directory
        if not directory:
            raise DataError(
                name, "incremental.directory", "it is not set", "Name a folder that runs share"
            )
        self._above = f"{directory.rstrip('/')}/{name}"
        told = source.model_dump_json(exclude=_NOT_CONTENT)
        content = "\0".join([str(FORMAT), str(source.content_version), source.place(name), told])
        self.folder = f"{self._above}/{hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def load(self, days: range) -> dict[int, Day]:
        """Those of some days that are kept, by day."""
        there = set(paths.names(self.folder))
        wanted = [day for day in days if f"{write_day(day)}{_ENTRY}" in there]
        with concurrent.futures.ThreadPoolExecutor(_READERS) as readers:
            found = [entry for entry in readers.map(self._entry, wanted) if entry is not None]
        return {entry.day: entry for entry in found if entry.file is None or entry.file in there}

    def path(self, day: Day) -> str:
        """Where the file of a day with rows lies."""
        return f"{self.folder}/{day.file}"

    def put(self, day: Day, pieces: list[str], work: str) -> Day:
        """Keeps a day, in place of what was kept of it.

        Args:
          day: what was read; its file is given a name here.
          pieces: files of its tf.Examples, in order, in ``work``; none for a day without rows.
          work: see ``workspace``.
        """
        if pieces:
            whole = pieces[0]
            if len(pieces) > 1:
                whole = f"{whole}.whole"
                paths.join(pieces, whole)
            day = dataclasses.replace(day, file=f"{write_day(day.day)}.{_new_name()}.gz")
            paths.rename(whole, self.path(day))
        entry = f"{work}/{write_day(day.day)}{_ENTRY}"
        with paths.open_file(entry, "wb") as file:
            file.write(json.dumps(dataclasses.asdict(day)).encode())
        paths.rename(entry, f"{self.folder}/{write_day(day.day)}{_ENTRY}")
        return day

    @contextlib.contextmanager
    def workspace(self) -> Iterator[str]:
        """A folder for what is not whole yet; gone afterwards."""
        folder = f"{self.folder}/{_WORK}/{_new_name()}"
        paths.make_folder(folder)
        try:
            yield folder
        finally:
            paths.remove_folder(folder)

    def renew(self) -> None:
        """Leaves word that kept days were read anew though nothing told that they had changed."""
        with self.workspace() as work:
            with paths.open_file(f"{work}/{_RENEWED}", "wb") as file:
                file.write(_new_name().encode())
            paths.rename(f"{work}/{_RENEWED}", f"{self.folder}/{_RENEWED}")

    @property
    def renewed(self) -> str:
        """What ``renew`` left last: another text each time."""
        if not paths.exists(f"{self.folder}/{_RENEWED}"):
            return ""
        with paths.open_file(f"{self.folder}/{_RENEWED}", "rb") as file:
            return file.read().decode()

    def prune(self, first: int) -> list[str]:
        """Removes what is not needed any more.

        That is days before the first one to keep; files without an entry and what killed runs left,
        once they are older than GRACE; the days of other settings, ABANDONED since.

        Args:
          first: the first day to keep.

        Returns:
          The days that went.
        """
        gone = []
        for name in paths.names(self.folder):
            stem = name.partition(".")[0]
            if name.endswith(_ENTRY) and read_day(stem) < first:
                paths.remove(f"{self.folder}/{name}")
                gone.append(stem)
        there = paths.names(self.folder)
        for name in there:
            if name.endswith(".gz") and _age(name) > GRACE:
                stem = name.partition(".")[0]
                entry = self._entry(read_day(stem)) if f"{stem}{_ENTRY}" in there else None
                if entry is None or entry.file != name:
                    paths.remove(f"{self.folder}/{name}")
        for name in paths.names(f"{self.folder}/{_WORK}"):
            if _age(f".{name}") > GRACE:
                paths.remove_folder(f"{self.folder}/{_WORK}/{name}")
        for name in paths.names(self._above):
            other = f"{self._above}/{name}"
            ages = [_age(file) for file in paths.names(other) if file.endswith(".gz")]
            if other != self.folder and ages and min(ages) > ABANDONED:
                logging.getLogger(__name__).info("%s: read for other settings, removed", other)
                paths.remove_folder(other)
        return gone

    def _entry(self, day: int) -> Day | None:
        path = f"{self.folder}/{write_day(day)}{_ENTRY}"
        try:
            with paths.open_file(path, "rb") as file:
                return Day(**json.loads(file.read()))
        except (ValueError, TypeError):
            logging.getLogger(__name__).warning("%s cannot be read: the day is read again", path)
            return None


def _new_name() -> str:
    """A name that no other has, which tells when it was given."""
    return f"{time.time_ns() // 1000:016x}-{uuid.uuid4().hex[:8]}"


def _age(name: str) -> int:
    """How old a file is by its name, ``….TIME-RANDOM…``, microseconds."""
    return time.time_ns() // 1000 - int(name.partition(".")[2].partition("-")[0], 16)
