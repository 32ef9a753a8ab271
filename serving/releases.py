"""The release record: which versions of a model there are, and which one serves.

::

    <folder>/                      one served model, as TensorFlow Serving watches it
      7/                           a version: a SavedModel
        assets.extra/release.json  where it came from: Release
        assets.extra/statistics/   statistics of the examples that it was trained on
        assets.extra/schema.pbtxt  and their schema
      releases.json                what is stable, and who changed that when and why
      .lock  .staging-*  .pruned-* never versions: TensorFlow Serving takes only numbers

A version's folder is written under another name and renamed, so that it is there whole or not at
all; only then ``releases.json`` is replaced. A push that was killed in between is brought to its
end by the next one. Numbers rise and are never used again.
"""

import contextlib
import dataclasses
import datetime
import fcntl
import getpass
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serving.folders import (
    content_fingerprint,
    copy_tree,
    sync_folder,
    sync_tree,
    write_atomically,
)

RECORD = "releases.json"
EXTRA = "assets.extra"
RELEASE = f"{EXTRA}/release.json"
STATISTICS = f"{EXTRA}/statistics"
SCHEMA = f"{EXTRA}/schema.pbtxt"
NONE = "none"
"""The state when nothing serves."""
_STAGING, _PRUNED = ".staging-", ".pruned-"


class ReleaseError(Exception):
    """A release record or a version that cannot be used as it is; the message says the mend."""


@dataclasses.dataclass(frozen=True)
class Version:
    """A version to serve.

    Attributes:
      number: its number.
      path: its folder, a SavedModel.
      release: what ``release.json`` tells of it; empty if somebody else put the folder there.
    """

    number: int
    path: Path
    release: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """The model's content as one number; empty if unknown."""
        return str(self.release.get("fingerprint", ""))


@dataclasses.dataclass(frozen=True)
class Push:
    """What a push did.

    Attributes:
      version: the version that holds the model now.
      created: whether it is new; else that model was a version already.
      stable: which version serves after it.
      pruned: the versions that were removed.
    """

    version: int
    created: bool
    stable: int | None
    pruned: tuple[int, ...] = ()


class Releases:
    """The versions of one model. Reading takes no lock; changes take turns.

    Args:
      folder: ``<directory>/<model>``; made by the first push.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def versions(self) -> list[Version]:
        """All versions that are there, the oldest first."""
        return [self._version(number) for number in self._numbers()]

    def stable(self) -> Version | None:
        """The version that serves, or None.

        Raises:
          ReleaseError: if the record is unreadable or names a version that is gone.
        """
        number = self._read()["stable"]
        if number is None:
            return None
        if number not in self._numbers():
            raise ReleaseError(
                f"{self.folder / RECORD} says that version {number} serves, but its folder is "
                "gone. Promote another version, or remove the record to begin anew"
            )
        return self._version(number)

    def before(self) -> Version | None:
        """The version to roll back to: the last one that served before the stable one."""
        number = _before(self._read(), self._numbers())
        return None if number is None else self._version(number)

    def history(self) -> list[dict[str, Any]]:
        """What happened, the oldest first: at, by, what, version, why."""
        return list(self._read()["history"])

    def state(self) -> str:
        """What serves, as a short text that changes whenever that changes."""
        version = self.stable()
        return NONE if version is None else f"{version.number}-{version.fingerprint[:16]}"

    def push(
        self,
        model: str | Path,
        release: Mapping[str, Any],
        keep: int,
        why: str,
        by: str = "",
        statistics: str | Path | None = None,
        schema: str | Path | None = None,
    ) -> Push:
        """Makes a model the next version, stable at once.

        A model that is a version already stays that one, and what serves does not change: a
        version that was rolled back must not come back by itself.

        Args:
          model: a SavedModel's folder.
          release: what is to be kept about it; ``version``, ``fingerprint`` and ``created`` are
            added.
          keep: how many of the newest versions stay; what serves and the one before always do.
          why: a reason for the history.
          by: who pushes; the user's login name by default.
          statistics: a folder of statistics to keep with it.
          schema: a schema file to keep with it.

        Raises:
          ReleaseError: if ``model`` is no SavedModel or the record is unreadable.
        """
        model = Path(model)
        if not (model / "saved_model.pb").is_file():
            raise ReleaseError(f"{model} is not a SavedModel: it holds no saved_model.pb")
        with self._locked():
            record = self._heal(self._read())
            content = content_fingerprint(model)
            for version in self.versions():
                if version.fingerprint == content:
                    gone = self._prune(record, keep)
                    return Push(version.number, False, record["stable"], gone)
            number = record["next"]
            event = _event("push", number, why, by)
            staged = self.folder / f"{_STAGING}{number}"
            copy_tree(model, staged)
            # A candidate's extra assets, such as warm-up requests, stay; the record is ours.
            (staged / EXTRA).mkdir(exist_ok=True)
            if statistics is not None:
                copy_tree(Path(statistics), staged / STATISTICS)
            if schema is not None:
                shutil.copy2(schema, staged / SCHEMA)
            text = {**release, "version": number, "fingerprint": content, "created": event["at"]}
            text["event"] = event
            write_atomically(staged / RELEASE, _json(text))
            sync_tree(staged)
            staged.rename(self.folder / str(number))
            sync_folder(self.folder)
            record = self._serve(record, number, event)
            return Push(number, True, number, self._prune(record, keep))

    def promote(self, number: int, why: str, by: str = "") -> None:
        """Makes a version the one that serves; rolling back is promoting ``before()``.

        Raises:
          ReleaseError: if there is no such version.
        """
        with self._locked():
            record = self._heal(self._read())
            numbers = self._numbers()
            if number not in numbers:
                there = ", ".join(map(str, numbers)) or "none"
                raise ReleaseError(f"no version {number} in {self.folder}: there are {there}")
            if record["stable"] != number:
                self._serve(record, number, _event("promote", number, why, by))

    def prune(self, keep: int) -> tuple[int, ...]:
        """Removes old versions.

        Args:
          keep: how many of the newest stay; what serves and the one before always do.

        Returns:
          The versions that it removed.
        """
        with self._locked():
            return self._prune(self._heal(self._read()), keep)

    def _prune(self, record: dict[str, Any], keep: int) -> tuple[int, ...]:
        numbers = self._numbers()
        gone = prunable(numbers, record["stable"], _before(record, numbers), keep)
        for number in gone:
            removed = self.folder / f"{_PRUNED}{number}"
            (self.folder / str(number)).rename(removed)
            shutil.rmtree(removed)
            record["history"].append(_event("prune", number, f"keeps {keep}", ""))
        if gone:
            self._write(record)
        return gone

    def _serve(self, record: dict[str, Any], number: int, event: dict[str, Any]) -> dict[str, Any]:
        record = {
            **record,
            "stable": number,
            "next": max(record["next"], number + 1),
            "history": [*record["history"], event],
        }
        self._write(record)
        return record

    def _heal(self, record: dict[str, Any]) -> dict[str, Any]:
        """Ends what a killed push or prune began."""
        for path in self.folder.iterdir():
            if path.name.startswith((_STAGING, _PRUNED)):
                shutil.rmtree(path)
            elif path.name.startswith(f".{RECORD}."):
                path.unlink()
        for version in self.versions():
            if version.number < record["next"]:
                continue
            event = version.release.get("event")
            if event is not None:
                record = self._serve(record, version.number, event)
            else:
                # Not ours: it keeps its number, but only a person makes it serve.
                found = _event("found", version.number, "put there by somebody else", "")
                record = {
                    **record,
                    "next": version.number + 1,
                    "history": [*record["history"], found],
                }
                self._write(record)
        return record

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(
            int(path.name)
            for path in self.folder.iterdir()
            if path.name.isdecimal() and str(int(path.name)) == path.name and path.is_dir()
        )

    def _version(self, number: int) -> Version:
        path = self.folder / str(number)
        try:
            release = json.loads((path / RELEASE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            release = {}
        return Version(number, path, release)

    def _read(self) -> dict[str, Any]:
        path = self.folder / RECORD
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return {key: record[key] for key in ("stable", "next", "history")}
        except FileNotFoundError:
            return {"stable": None, "next": 1, "history": []}
        except (ValueError, KeyError, TypeError) as error:
            raise ReleaseError(
                f"{path} is not a release record ({error}). Restore it, or remove it to begin anew"
            ) from None

    def _write(self, record: Mapping[str, Any]) -> None:
        write_atomically(self.folder / RECORD, _json(record))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def fingerprint(folder: str | Path) -> str:
    """What serves, as a short text for cache keys; see ``Releases.state``."""
    return Releases(folder).state()


def prunable(
    numbers: list[int], stable: int | None, before: int | None, keep: int
) -> tuple[int, ...]:
    """Which versions go.

    Args:
      numbers: the versions that are there.
      stable: the one that serves.
      before: the one to roll back to.
      keep: how many of the newest stay, at least 1.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}: expected at least 1")
    spared = {*sorted(numbers)[-keep:], stable, before}
    return tuple(number for number in sorted(numbers) if number not in spared)


def _before(record: Mapping[str, Any], numbers: list[int]) -> int | None:
    stable = record["stable"]
    for event in reversed(record["history"]):
        if event["what"] in ("push", "promote"):
            number = event["version"]
            if number != stable and number in numbers:
                return int(number)
    older = [number for number in numbers if stable is not None and number < stable]
    return older[-1] if older else None


def _event(what: str, version: int, why: str, by: str) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "at": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "by": by or _login(),
        "what": what,
        "version": version,
        "why": why,
    }


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
