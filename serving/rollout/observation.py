"""What a trial has seen since its step began; kept on disk, so that a restart goes on from it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from serving.folders import write_atomically
from serving.rollout.counters import Reading, Series, added, restarted, tally
from serving.rollout.decision import Evidence
from serving.rollout.tally import Tally

FILE = ".rollout.json"
"""Beside the release record. Without it a step counts anew; the record alone says which step."""
LONGEST_GAP = 600.0
"""Seconds that pass at most between two looks. What is more was no patience of anybody's: a clock
that was set, a machine that slept, a controller that was not running."""


@dataclasses.dataclass(frozen=True)
class Stretch:
    """What came between two readings; ``at`` as ``Observation.watched``."""

    at: float
    canary: Tally
    stable: Tally


@dataclasses.dataclass(frozen=True)
class Observation:
    """A step's measurements.

    Attributes:
      step: names the step: version, percent, when it began, and the stable version.
      last: the newest reading; None before the first.
      watched: for how many seconds the step has been looked at.
      looked: when that was last, seconds since 1970; None before the first look.
      silent: what ``watched`` was at the first of the latest looks that gave no reading; None if
        the latest gave one.
      canary: all since the step began.
      stable: and of the stable version.
      recent: the latest stretches.
    """

    step: str
    last: Reading | None = None
    watched: float = 0.0
    looked: float | None = None
    silent: float | None = None
    canary: Tally = dataclasses.field(default_factory=Tally)
    stable: Tally = dataclasses.field(default_factory=Tally)
    recent: tuple[Stretch, ...] = ()

    def of_step(self, step: str) -> "Observation":
        """Itself, or a new one that counts from the newest reading if the step is another."""
        return self if step == self.step else Observation(step, self.last)

    def look(self, now: float) -> "Observation":
        """Lets the time pass until now, seconds since 1970: not backwards, nor LONGEST_GAP."""
        passed = 0.0 if self.looked is None else min(max(0.0, now - self.looked), LONGEST_GAP)
        return dataclasses.replace(self, watched=self.watched + passed, looked=now)

    def miss(self) -> "Observation":
        """Takes note that there is no reading."""
        silent = self.watched if self.silent is None else self.silent
        return dataclasses.replace(self, silent=silent)

    def vanished(self, reading: Reading, canary: int) -> bool:
        """Whether the canary's counters were there and are gone, though no server restarted."""
        last = self.last or {}
        was = any(series.version == canary for series in last)
        now = any(series.version == canary for series in reading)
        return was and not now and not restarted(last, reading)

    def take(self, reading: Reading, canary: int, stable: int, window: float) -> "Observation":
        """Adds what came since the newest reading.

        Args:
          reading: the counters now.
          canary: the version on trial.
          stable: the stable version.
          window: how long a stretch counts as recent, in seconds.
        """
        if self.last is None:
            return dataclasses.replace(self, last=reading, silent=None)
        new = added(self.last, reading)
        stretch = Stretch(self.watched, tally(new, canary), tally(new, stable))
        recent = [old for old in self.recent if self.watched - window < old.at]
        return dataclasses.replace(
            self,
            last=reading,
            silent=None,
            canary=self.canary.plus(stretch.canary),
            stable=self.stable.plus(stretch.stable),
            recent=(*recent, stretch),
        )

    def evidence(self, missing: str, not_loaded: str) -> Evidence:
        """For the decision."""
        canary = stable = Tally()
        for stretch in self.recent:
            canary, stable = canary.plus(stretch.canary), stable.plus(stretch.stable)
        silent = 0.0 if self.silent is None else self.watched - self.silent
        return Evidence(
            self.canary, self.stable, canary, stable, self.watched, silent, missing, not_loaded
        )


def load(folder: Path) -> Observation:
    """Reads what was kept; an empty observation if there is none or it is broken."""
    try:
        raw = json.loads((folder / FILE).read_text(encoding="utf-8"))
        last = raw["last"]
        return Observation(
            raw["step"],
            None if last is None else {Series(*key): float(value) for *key, value in last},
            float(raw["watched"]),
            None if raw["looked"] is None else float(raw["looked"]),
            None if raw["silent"] is None else float(raw["silent"]),
            Tally.from_json(raw["canary"]),
            Tally.from_json(raw["stable"]),
            tuple(
                Stretch(float(at), Tally.from_json(canary), Tally.from_json(stable))
                for at, canary, stable in raw["recent"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Observation("")


def save(folder: Path, observation: Observation) -> None:
    """Keeps an observation, whole or not at all."""
    last = observation.last
    raw: dict[str, Any] = {
        "step": observation.step,
        "last": last and [[*dataclasses.astuple(s), value] for s, value in last.items()],
        "watched": observation.watched,
        "looked": observation.looked,
        "silent": observation.silent,
        "canary": observation.canary.to_json(),
        "stable": observation.stable.to_json(),
        "recent": [[s.at, s.canary.to_json(), s.stable.to_json()] for s in observation.recent],
    }
    write_atomically(folder / FILE, json.dumps(raw) + "\n")


def forget(folder: Path) -> None:
    """Removes what was kept."""
    (folder / FILE).unlink(missing_ok=True)
