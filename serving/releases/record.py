"""``releases.json`` as a value: read, checked, written.

::

    {"stable": 3,                       # the version that serves
     "before": [1, 2],                  # those that did before, in the order in which they stopped
     "next": 5,                         # the number that the next push gets
     "versions": {"4": {"state": "canary", "percent": 10, "since": "2026-01-02T03:04:05.678Z"}},
     "history": [{"at": ..., "by": ..., "what": "canary", "version": 4, "why": ..., ...}]}

Records of the time before there were states hold ``stable``, ``next`` and ``history`` alone; the
rest follows from the history.
"""

import dataclasses
import datetime
import getpass
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

HISTORY = 500
"""How many of the last events the record keeps, so that reading it stays quick."""


class ReleaseError(Exception):
    """A release record or a version that cannot be used as it is; the message says the mend."""


@dataclasses.dataclass(frozen=True)
class Status:
    """What a version is now.

    Attributes:
      state: one of ``serving.releases.states``.
      since: RFC 3339, UTC.
      percent: a canary's share of the traffic, out of 100.
      why: why it came into this state.
      fingerprint: a quarantined model's content, so that it is known if it is pushed again.
    """

    state: str
    since: str = ""
    percent: int = 0
    why: str = ""
    fingerprint: str = ""


@dataclasses.dataclass(frozen=True)
class Record:
    """What ``releases.json`` holds; changed only by replacing it.

    Attributes:
      stable: the version that serves.
      next: the number that the next push gets.
      before: the versions that served before, in the order in which they stopped.
      versions: by number, what each version is.
      history: what happened, the oldest first: ``event``.
    """

    stable: int | None = None
    next: int = 1
    before: tuple[int, ...] = ()
    versions: Mapping[int, Status] = dataclasses.field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()

    def status(self, number: int) -> Status:
        """What a version is; one that the record does not know was put there by somebody else."""
        return self.versions.get(number, Status("found"))


def event(
    what: str,
    version: int,
    why: str,
    by: str = "",
    numbers: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An entry of the history.

    Args:
      what: push, stage, available, canary, stable, promote, rollback, prune, found or lost.
      version: whose state changes.
      why: a reason, in a sentence.
      by: who did it; the user's login name by default.
      numbers: the measurements behind it.
    """
    entry: dict[str, Any] = {
        "at": _now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "by": by or login(),
        "what": what,
        "version": version,
        "why": why,
    }
    if numbers:
        entry["numbers"] = dict(numbers)
    return entry


def parse(text: str) -> Record:
    """Reads a record.

    Raises:
      ValueError, KeyError, TypeError: if it is none.
    """
    raw = json.loads(text)
    stable, history = raw["stable"], tuple(raw["history"])
    if stable is not None and type(stable) is not int:
        raise ValueError(f"stable is {stable!r}")
    if type(raw["next"]) is not int:
        raise ValueError(f"next is {raw['next']!r}")
    if not all(isinstance(entry, dict) for entry in history):
        raise ValueError("history holds what is no event")
    if "versions" not in raw:
        return _of_history(stable, raw["next"], history)
    versions = {int(number): Status(**status) for number, status in raw["versions"].items()}
    return Record(stable, raw["next"], tuple(map(int, raw["before"])), versions, history)


def render(record: Record) -> str:
    """A record as JSON; ``parse`` reads it."""
    versions = {}
    for number, status in sorted(record.versions.items()):
        fields = dataclasses.asdict(status)
        versions[str(number)] = {name: value for name, value in fields.items() if value}
    return to_json(
        {
            "stable": record.stable,
            "next": record.next,
            "before": list(record.before),
            "versions": versions,
            "history": list(record.history[-HISTORY:]),
        }
    )


def revision(record: Record) -> str:
    """A text that is another one for every other content of the record."""
    return hashlib.sha256(render(record).encode()).hexdigest()[:16]


def to_json(value: Mapping[str, Any]) -> str:
    """JSON for files that people read too."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _of_history(stable: int | None, following: int, history: tuple[Any, ...]) -> Record:
    served: dict[int, str] = {}
    found: dict[int, str] = {}
    for entry in history:
        number = entry["version"]
        if entry["what"] in ("push", "promote"):
            served.pop(number, None)
            served[number] = entry["at"]
        elif entry["what"] == "found":
            found[number] = entry["at"]
        elif entry["what"] == "prune":
            served.pop(number, None)
            found.pop(number, None)
    versions = {number: Status("found", at) for number, at in found.items()}
    versions |= {number: Status("retired", at) for number, at in served.items()}
    if stable is not None:
        versions[stable] = Status("stable", served.get(stable, ""))
    before = tuple(number for number in served if number != stable)
    return Record(stable, following, before, versions, history)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def login() -> str:
    """The name of who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"
