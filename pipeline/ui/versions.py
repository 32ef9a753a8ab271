"""The released versions as the page shows them, and what a move would change."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.ui.moves import Move, allowed
from serving.releases import Status, states
from serving.releases.record import revision
from serving.releases.store import Store
from serving.releases.traffic import Traffic
from serving.releases.versions import numbers, read_version
from serving.rollout import observation
from serving.rollout.plan import Plan
from serving.rollout.tally import Tally

_EVENTS = 20


@dataclasses.dataclass(frozen=True)
class Row:
    """A version.

    Attributes:
      number: its number.
      status: what it is.
      labels: the version labels by which clients may ask for it.
      share: of the requests that name no version, from 0 to 1.
      release: what it was released with; empty if its folder is gone or not ours.
      moves: what may be done with it.
    """

    number: int
    status: Status
    labels: tuple[str, ...]
    share: float
    release: Mapping[str, Any]
    moves: Sequence[Move]

    @property
    def created(self) -> str:
        """When it was pushed; empty if nothing tells."""
        return str(self.release.get("created") or "")

    @property
    def run_id(self) -> str:
        """The run that made it; empty if nothing tells."""
        return self._lineage("run_id")

    @property
    def as_of(self) -> str:
        """The time at which that run stood; empty if nothing tells."""
        return self._lineage("as_of")

    @property
    def metrics(self) -> Mapping[str, float]:
        """Those of its evaluation that have a value."""
        told = self.release.get("metrics")
        return {k: v for k, v in told.items() if v is not None} if isinstance(told, dict) else {}

    def _lineage(self, name: str) -> str:
        told = self.release.get("lineage")
        return str(told.get(name) or "") if isinstance(told, dict) else ""


@dataclasses.dataclass(frozen=True)
class Change:
    """What a move changes about one version; shares from 0 to 1."""

    number: int
    was: Status
    will_be: Status
    share: float
    share_after: float


@dataclasses.dataclass(frozen=True)
class Watched:
    """What a rollout has seen of the version on trial since its step began.

    Attributes:
      looked: when it looked last.
      seconds: for how long it has watched.
      canary: requests to the version on trial.
      stable: requests to the stable one.
    """

    looked: datetime.datetime
    seconds: float
    canary: Tally
    stable: Tally


class Standing:
    """The release record as it is now.

    Args:
      folder: the model's.
      plan: what a trial's steps are.

    Attributes:
      revision: of the record.
      history: what happened, the newest first.

    Raises:
      serving.releases.ReleaseError: if the record is unreadable.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._store = Store(folder, ())
        found = self._store.read()
        self._there = numbers(folder)
        self.revision = revision(found)
        # As every change begins: without what somebody removed.
        self._record = states.mend(found, self._there)
        traffic = self._store.traffic(self._record)
        self._labels = traffic.labels() if traffic else {}
        self._shares = _shares(traffic)
        self.history = list(reversed(found.history[-_EVENTS:]))

    def rows(self) -> list[Row]:
        """All versions, the newest first; quarantined ones also after they were pruned."""
        known = sorted({*self._there, *self._record.versions}, reverse=True)
        return [self._row(number) for number in known]

    def row(self, number: int) -> Row | None:
        """One version."""
        known = number in self._there or number in self._record.versions
        return self._row(number) if known else None

    def changes(self, move: Move) -> list[Change]:
        """What a move would change, the newest version first."""
        before, after = self._record, move.after
        shares, then = self._shares, _shares(self._store.traffic(after))
        return [
            Change(n, was, will_be, shares.get(n, 0.0), then.get(n, 0.0))
            for n in sorted({*before.versions, *after.versions}, reverse=True)
            if _what(was := before.status(n)) != _what(will_be := after.status(n))
            or shares.get(n) != then.get(n)
        ]

    def watched(self) -> Watched | None:
        """What a rollout saw; None if none has looked at this step."""
        number = states.candidate(self._record)
        if number is None:
            return None
        status = self._record.status(number)
        step = f"{number} {status.state} {status.percent} {status.since} {self._record.stable}"
        seen = observation.load(self._folder)
        if seen.step != step or seen.looked is None:
            return None
        looked = datetime.datetime.fromtimestamp(seen.looked, datetime.timezone.utc)
        return Watched(looked, seen.watched, seen.canary, seen.stable)

    def _row(self, number: int) -> Row:
        return Row(
            number,
            self._record.status(number),
            tuple(label for label, named in self._labels.items() if named == number),
            self._shares.get(number, 0.0),
            read_version(self._folder, number).release,
            allowed(self._record, number, self._there, self._plan),
        )


def _shares(traffic: Traffic | None) -> dict[int, float]:
    return traffic.shares() if traffic else {}


def _what(status: Status) -> tuple[str, int]:
    return status.state, status.percent
