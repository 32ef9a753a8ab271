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


@dataclasses.dataclass(frozen=True)
class Stretch:
    """What came between two readings."""

    at: float
    canary: Tally
    stable: Tally


@dataclasses.dataclass(frozen=True)
class Observation:
    """A step's measurements.

    Attributes:
      step: names the step: version, percent, when it began, and the stable version.
      last: the newest reading.
      seen: when that was, seconds since 1970; None before the first.
      canary: all since the step began.
      stable: and of the stable version.
      recent: the latest stretches.
    """

    step: str
    last: Reading = dataclasses.field(default_factory=dict)
    seen: float | None = None
    canary: Tally = dataclasses.field(default_factory=Tally)
    stable: Tally = dataclasses.field(default_factory=Tally)
    recent: tuple[Stretch, ...] = ()

    def of_step(self, step: str) -> "Observation":
        """Itself, or a new one that counts from the newest reading if the step is another."""
        return self if step == self.step else Observation(step, self.last, self.seen)

    def vanished(self, reading: Reading, canary: int) -> bool:
        """Whether the canary's counters were there and are gone, though no server restarted."""
        was = any(series.version == canary for series in self.last)
        now = any(series.version == canary for series in reading)
        return was and not now and not restarted(self.last, reading)

    def take(
        self, reading: Reading, canary: int, stable: int, now: float, window: float
    ) -> "Observation":
        """Adds what came since the newest reading.

        Args:
          reading: the counters now.
          canary: the version on trial.
          stable: the stable version.
          now: seconds since 1970.
          window: how long a stretch counts as recent, in seconds.
        """
        if self.seen is None:
            return dataclasses.replace(self, last=reading, seen=now)
        new = added(self.last, reading)
        stretch = Stretch(now, tally(new, canary), tally(new, stable))
        recent = [old for old in self.recent if now - window < old.at <= now]
        return dataclasses.replace(
            self,
            last=reading,
            seen=now,
            canary=self.canary.plus(stretch.canary),
            stable=self.stable.plus(stretch.stable),
            recent=(*recent, stretch),
        )

    def evidence(self, missing: str, loaded: bool | None) -> Evidence:
        """For the decision."""
        canary = stable = Tally()
        for stretch in self.recent:
            canary, stable = canary.plus(stretch.canary), stable.plus(stretch.stable)
        return Evidence(self.canary, self.stable, canary, stable, self.seen, missing, loaded)


def load(folder: Path) -> Observation:
    """Reads what was kept; an empty observation if there is none or it is broken."""
    try:
        raw = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Observation(
            raw["step"],
            {Series(*key): float(value) for *key, value in raw["last"]},
            raw["seen"],
            Tally.from_json(raw["canary"]),
            Tally.from_json(raw["stable"]),
            tuple(
                Stretch(at, Tally.from_json(canary), Tally.from_json(stable))
                for at, canary, stable in raw["recent"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Observation("")


def save(folder: Path, observation: Observation) -> None:
    """Keeps an observation, whole or not at all."""
    raw: dict[str, Any] = {
        "step": observation.step,
        "last": [[*dataclasses.astuple(s), value] for s, value in observation.last.items()],
        "seen": observation.seen,
        "canary": observation.canary.to_json(),
        "stable": observation.stable.to_json(),
        "recent": [[s.at, s.canary.to_json(), s.stable.to_json()] for s in observation.recent],
    }
    write_atomically(folder / FILE, json.dumps(raw) + "\n")


def forget(folder: Path) -> None:
    """Removes what was kept."""
    (folder / FILE).unlink(missing_ok=True)
