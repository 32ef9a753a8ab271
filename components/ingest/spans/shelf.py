"""A folder of entries, each a small JSON file that may name one file of data.

An entry is replaced whole, and data that are put again get a new file: runs at the same time see
what was kept before or after, never half of it.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from components.ingest import paths
from components.ingest.durations import MICROSECONDS
from components.ingest.errors import DataError
from components.ingest.room import open_to_write

GRACE = MICROSECONDS["d"]
"""What no entry names any more may be in use by a run under way: it goes after this time."""

ABANDONED = 30 * MICROSECONDS["d"]
"""What was kept for other settings goes when nothing was added for so long."""

_ENTRY = ".json"
_KEPT = "kept"
_WORK = ".work"
_RENEWED = "renewed"
_READERS = 16


class Shelf:
    """What is kept of a source, read with the same settings from the same place.

    Attributes:
      folder: where it lies.
    """

    def __init__(self, name: str, directory: str | None, content: Iterable[str]) -> None:
        """Finds the folder; makes none.

        Args:
          name: the source's name.
          directory: where what is kept of all sources lies.
          content: all that decides what is kept; another content is another folder.

        Raises:
          DataError: if there is no directory.
        """
        if not directory:
            raise DataError(
                name, "incremental.directory", "it is not set", "Name a folder that runs share"
            )
        self._above = f"{directory.rstrip('/')}/{name}"
        self.folder = (
            f"{self._above}/{hashlib.sha256(chr(0).join(content).encode()).hexdigest()[:16]}"
        )

    def load(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Those of some entries that are there with their data, by name."""
        there = set(paths.names(self.folder))
        wanted = [name for name in names if f"{name}{_ENTRY}" in there]
        with concurrent.futures.ThreadPoolExecutor(_READERS) as readers:
            found = zip(wanted, readers.map(self._entry, wanted), strict=True)
            return {
                name: {key: value for key, value in entry.items() if key != _KEPT}
                for name, entry in found
                if entry is not None and (entry["file"] is None or entry["file"] in there)
            }

    def put(self, name: str, entry: dict[str, Any], data: str | None, work: str) -> str | None:
        """Keeps an entry, in place of what was kept under its name.

        Args:
          name: without a dot.
          entry: what is told; ``file`` is set here.
          data: the file of data, whose ending stays; in ``work``.
          work: see ``workspace``.

        Returns:
          The name that the file of data was given.
        """
        file = None
        if data is not None:
            file = f"{name}.{_new_name()}.{data.rpartition('.')[2]}"
            paths.rename(data, f"{self.folder}/{file}")
        told = entry | {"file": file, _KEPT: _now()}
        self._write(f"{name}{_ENTRY}", json.dumps(told), work)
        return file

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
        """Leaves word that what was kept was read anew though nothing told that it had changed."""
        with self.workspace() as work:
            self._write(_RENEWED, _new_name(), work)

    @property
    def renewed(self) -> str:
        """What ``renew`` left last: another text each time."""
        if not paths.exists(f"{self.folder}/{_RENEWED}"):
            return ""
        with paths.open_file(f"{self.folder}/{_RENEWED}", "rb") as file:
            return file.read().decode()

    def prune(self, is_needed: Callable[[str], bool]) -> list[str]:
        """Removes what is not needed any more.

        That is entries; data that were replaced, or that killed runs left, once GRACE is over; and
        what was kept for other settings, ABANDONED since.

        Args:
          is_needed: tells it of an entry's name.

        Returns:
          The names of the entries that went.
        """
        there = paths.names(self.folder)
        entries = [name.removesuffix(_ENTRY) for name in there if name.endswith(_ENTRY)]
        gone = [name for name in entries if not is_needed(name)]
        for name in gone:
            paths.remove(f"{self.folder}/{name}{_ENTRY}")
        held = set(entries) - set(gone)
        for name in there:
            stem, _, rest = name.partition(".")
            if rest.count(".") == 1 and stem and _age(name) > GRACE:
                entry = self._entry(stem) if stem in held else None
                replaced = entry is not None and entry["file"] != name
                if entry is None or (replaced and _now() - entry[_KEPT] > GRACE):
                    paths.remove(f"{self.folder}/{name}")
        for name in paths.names(f"{self.folder}/{_WORK}"):
            if _age(f".{name}") > GRACE:
                paths.remove_folder(f"{self.folder}/{_WORK}/{name}")
        for name in paths.names(self._above):
            other = f"{self._above}/{name}"
            ages = [_age(file) for file in paths.names(other) if file.count(".") == 2]
            if other != self.folder and ages and min(ages) > ABANDONED:
                logging.getLogger(__name__).info("%s: kept for other settings, removed", other)
                paths.remove_folder(other)
        return gone

    def _write(self, name: str, text: str, work: str) -> None:
        with open_to_write(f"{work}/{name}") as file:
            file.write(text.encode())
        paths.rename(f"{work}/{name}", f"{self.folder}/{name}")

    def _entry(self, name: str) -> dict[str, Any] | None:
        path = f"{self.folder}/{name}{_ENTRY}"
        try:
            with paths.open_file(path, "rb") as file:
                entry: dict[str, Any] = json.loads(file.read())
                return entry if entry.keys() >= {"file", _KEPT} else None
        except (ValueError, OSError):
            logging.getLogger(__name__).warning("%s cannot be read: its data are read anew", path)
            return None


def _new_name() -> str:
    """A name that no other has, which tells when it was given."""
    return f"{_now():016x}-{uuid.uuid4().hex[:8]}"


def _age(name: str) -> int:
    """How old a file is by its name, ``….TIME-RANDOM…``, microseconds."""
    return _now() - int(name.partition(".")[2].partition("-")[0], 16)


def _now() -> int:
    return time.time_ns() // 1000
