"""The record on disk: read without a lock, changed in turns, healed before every change."""

import contextlib
import dataclasses
import fcntl
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.folders import write_atomically
from serving.releases import states, versions
from serving.releases.record import Record, ReleaseError, parse, render
from serving.releases.traffic import Traffic

RECORD = "releases.json"

Hook = Callable[[Mapping[str, Any]], None]
"""Called with every event after it is on disk: an entry of the history, ``model``, and
``traffic``, what serves after it: {stable, canary, percent}, or None. It may be slow or fail: the
change has happened."""

_LOG = logging.getLogger("serving.releases")


class Change:
    """One turn to change the record.

    Attributes:
      record: as it is on disk.
    """

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._known = store.read()
        self.record = self._known

    def write(self, record: Record) -> None:
        """Replaces the record."""
        if record is not self.record:
            self._store.write(record)
            self.record = record

    def events(self) -> tuple[Mapping[str, Any], ...]:
        """What this turn added to the history."""
        return tuple(self.record.history[len(self._known.history) :])


class Store:
    """One model's record and folder.

    Args:
      folder: ``<directory>/<model>``.
      hooks: told of every change after it was written, in order.
    """

    def __init__(self, folder: Path, hooks: Sequence[Hook]) -> None:
        self.folder = folder
        self.hooks = tuple(hooks)

    def read(self) -> Record:
        """The record.

        Raises:
          ReleaseError: if the file is there but is none.
        """
        path = self.folder / RECORD
        try:
            record = parse(path.read_text(encoding="utf-8"))
            states.check(record)
            return record
        except FileNotFoundError:
            return Record()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReleaseError(
                f"{path} is not a release record ({error}). Mend or restore it, or remove it to "
                "begin anew"
            ) from None

    def write(self, record: Record) -> None:
        """Replaces the record on disk; only in a turn."""
        write_atomically(self.folder / RECORD, render(record))

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """A turn: the record healed, nobody else changing it; hooks are told afterwards."""
        with self.locked(".lock"):
            change = Change(self)
            self._heal(change)
            yield change
        self._tell(change)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Waits for a lock file in the folder; the system frees it if its holder dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / name).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def there(self, number: int) -> bool:
        """Whether a version's folder is there."""
        return (self.folder / str(number)).is_dir()

    def before(self, record: Record) -> int | None:
        """The version to roll back to."""
        return next((n for n in reversed(record.before) if self.there(n)), None)

    def traffic(self, record: Record) -> Traffic | None:
        """How requests that name no version are split; None if nothing serves."""
        if record.stable is None:
            return None
        tried = states.candidate(record)
        if tried is None or not self.there(tried):
            return Traffic(record.stable)
        status = record.status(tried)
        if status.state != states.CANARY:
            return Traffic(record.stable)
        return Traffic(record.stable, tried, status.percent)

    def _heal(self, change: Change) -> None:
        """Ends what a killed push or prune began."""
        for path in self.folder.glob(f".{RECORD}.*"):
            path.unlink()
        there = versions.numbers(self.folder)
        healed = states.mend(change.record, there)
        for number in there:
            if number >= healed.next:
                entry = versions.read_version(self.folder, number).release.get("event")
                # Not ours: it keeps its number, but only a person makes it serve.
                healed = (
                    states.take_in(healed, number, entry) if entry else states.find(healed, number)
                )
        change.write(healed)

    def _tell(self, change: Change) -> None:
        traffic = self.traffic(change.record)
        told = dataclasses.asdict(traffic) if traffic else None
        for entry in change.events():
            full = {**entry, "model": self.folder.name, "traffic": told}
            line = json.dumps(full, sort_keys=True)
            _LOG.info("%s", line)
            for hook in self.hooks:
                try:
                    hook(full)
                except Exception:
                    _LOG.exception("a hook failed on %s", line)
