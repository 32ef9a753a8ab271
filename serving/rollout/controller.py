"""Runs trials: reads metrics, decides, writes the record; again and again."""

import contextlib
import dataclasses
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
      not_loaded: says why the server does not answer with a version, or "" if it does; None if
        nobody can be asked.
      clock: seconds since 1970. It may be set, or stand still while the machine sleeps.
    """

    def __init__(
        self,
        releases: Releases,
        source: Source,
        plan: Plan,
        not_loaded: Callable[[int], str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._releases, self._source, self._plan = releases, source, plan
        self._not_loaded, self._clock = not_loaded, clock

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
        trial, stable = Trial(number, status.state, status.percent), traffic.stable
        step = f"{number} {status.state} {status.percent} {status.since} {stable}"
        seen = observation.load(folder).of_step(step).look(self._clock())
        missing = ""
        try:
            reading = self._source.read()
            if seen.vanished(reading, number):
                raise MetricsError(f"version {number} is no longer in the metrics")
            seen = seen.take(reading, number, stable, self._plan.window_seconds)
        except MetricsError as error:
            missing, seen = str(error), seen.miss()
        observation.save(folder, seen)
        asked = self._not_loaded if status.state == "available" else None
        evidence = seen.evidence(missing, asked(number) if asked else "")
        decision = decide(self._plan, trial, evidence)
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
    with (folder / ".rollout").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReleaseError(
                f"another rollout of {folder} is running: let it go on, or stop it first"
            ) from None
        yield
