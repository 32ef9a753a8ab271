"""Runs trials: reads metrics, decides, writes the record; again and again."""

import contextlib
import dataclasses
import datetime
import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from serving.releases import ReleaseError, Releases
from serving.rollout import observation
from serving.rollout.counters import MetricsError, Source
from serving.rollout.decision import Decision, Evidence, Trial, decide
from serving.rollout.plan import Plan

BY = "rollout"
_LOG = logging.getLogger("serving.rollout")


@dataclasses.dataclass(frozen=True)
class Turn:
    """One look at a trial.

    Attributes:
      trial: where it stood.
      stable: the stable version then.
      evidence: what was measured.
      decision: what was decided.
      done: whether the record was changed accordingly.
    """

    trial: Trial
    stable: int
    evidence: Evidence
    decision: Decision
    done: bool


class Controller:
    """Moves one model's traffic. All it needs to know after a restart is on disk.

    Args:
      releases: the model's release record.
      source: where metrics come from.
      plan: what a trial asks.
      loaded: says whether the server has loaded a version; None if nobody can be asked.
      clock: seconds since 1970.
    """

    def __init__(
        self,
        releases: Releases,
        source: Source,
        plan: Plan,
        loaded: Callable[[int], bool] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._releases, self._source, self._plan = releases, source, plan
        self._loaded, self._clock = loaded, clock

    def once(self) -> Turn | None:
        """Looks once, and takes one step at most.

        Returns:
          What it saw and did; None if no version is on trial or waits for it.

        Raises:
          ReleaseError: if the record is unreadable.
        """
        found, traffic = self._releases.trial(), self._releases.traffic()
        folder = self._releases.folder
        if found is None or traffic is None:
            observation.forget(folder)
            return None
        number, status = found
        trial = Trial(number, status.state, status.percent, _seconds(status.since))
        stable, now = traffic.stable, self._clock()
        step = f"{number} {status.state} {status.percent} {status.since} {stable}"
        seen = observation.load(folder).of_step(step)
        missing = ""
        try:
            reading = self._source.read()
            if seen.vanished(reading, number):
                raise MetricsError(f"version {number} is no longer in the metrics")
            seen = seen.take(reading, number, stable, now, self._plan.window_seconds)
        except MetricsError as error:
            missing = str(error)
        observation.save(folder, seen)
        loaded = None
        if status.state == "available" and self._loaded is not None:
            loaded = self._loaded(number)
        evidence = seen.evidence(missing, loaded)
        decision = decide(self._plan, trial, evidence, now)
        return Turn(trial, stable, evidence, decision, self._apply(number, decision, evidence))

    def turns(
        self,
        poll_seconds: float,
        follow: bool = False,
        sleep: Callable[[float], object] = time.sleep,
    ) -> Iterator[Turn]:
        """Looks until no version is on trial or waits for it.

        Args:
          poll_seconds: between two looks at which nothing changed.
          follow: goes on and waits for the next version.
          sleep: waits.
        """
        while True:
            turn = self.once()
            if turn is not None:
                yield turn
            elif not follow:
                return
            if turn is None or not turn.done:
                sleep(poll_seconds)

    def _apply(self, number: int, decision: Decision, evidence: Evidence) -> bool:
        numbers = evidence.numbers()
        try:
            if decision.action == "advance":
                self._releases.advance(number, decision.percent, decision.why, BY, numbers)
            elif decision.action == "roll back":
                self._releases.rollback(decision.why, BY, number, numbers, trial_only=True)
            else:
                return False
        except ReleaseError as error:
            # A person was quicker; the next look sees what they did.
            _LOG.warning("%s was not done: %s", decision.action, error)
            return False
        return True


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes sure that one controller at a time moves a model's traffic.

    Raises:
      ReleaseError: if another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".rollout").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReleaseError(f"another rollout of {folder} is running") from None
        yield


def _seconds(instant: str) -> float:
    """RFC 3339 as seconds since 1970."""
    return datetime.datetime.fromisoformat(instant.replace("Z", "+00:00")).timestamp()
