"""``.registry.json`` beside the release record: how far the mirror is, and why no further."""

import contextlib
import dataclasses
import datetime
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serving.folders import write_atomically
from serving.releases import Releases

STANDING = ".registry.json"
_LOCK, _NEXT = ".registry.lock", ".registry.next"


@dataclasses.dataclass(frozen=True)
class Standing:
    """What the last look at the registry came to.

    Attributes:
      through: the record's last event that the registry knows; None if it knows none.
      error: why it could not be told of the newest one; empty if it was.
      at: when it could not, RFC 3339, UTC.
    """

    through: Mapping[str, Any] | None = None
    error: str = ""
    at: str = ""


def read(folder: Path) -> Standing:
    """The standing; that of a registry that was never told anything if there is none."""
    try:
        return Standing(**json.loads((folder / STANDING).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Standing()


def succeeded(folder: Path, through: Mapping[str, Any] | None) -> None:
    """Notes that the registry is equal to the record as it was after that event."""
    _write(folder, Standing(through))


def failed(folder: Path, error: str) -> None:
    """Notes why the registry could not be told."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    _write(folder, Standing(read(folder).through, error, now))


def newest(releases: Releases) -> Mapping[str, Any] | None:
    """The record's last event, as far as it tells that event from others."""
    history = releases.history()
    return {key: history[-1][key] for key in ("at", "what", "version")} if history else None


def behind(releases: Releases) -> str:
    """What the registry does not know and why, in words; empty if it is up to date.

    Raises:
      serving.releases.ReleaseError: if the record is unreadable.
    """
    standing, event = read(releases.folder), newest(releases)
    if event is None or (standing.through == event and not standing.error):
        return ""
    if standing.error:
        return (
            f"MLflow could not be told ({standing.at}): {standing.error}. The next change or "
            "`python -m pipeline registry` brings it up to date"
        )
    return (
        f"MLflow is not told yet of '{event['what']}' of version {event['version']} "
        f"({event['at']}); if that stays so: python -m pipeline registry"
    )


@contextlib.contextmanager
def turn(folder: Path, queue: bool) -> Iterator[bool]:
    """Waits until no other process mirrors this record.

    Args:
      folder: the record's.
      queue: whether to wait behind another one that waits. If not, and one does, gives up: that
        one reads the record later, and so sees all that this one would.

    Yields:
      Whether it is this process's turn.
    """
    with (folder / _NEXT).open("a") as waiting, (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(waiting, fcntl.LOCK_EX | (0 if queue else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        fcntl.flock(waiting, fcntl.LOCK_UN)
        yield True


def _write(folder: Path, standing: Standing) -> None:
    write_atomically(folder / STANDING, json.dumps(dataclasses.asdict(standing)) + "\n")
