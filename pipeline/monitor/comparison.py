"""How far one thing moved, and how far it may."""

import dataclasses
from typing import Literal

What = Literal["skew", "drift", "prediction", "missing", "unseen", "out_of_range", "quality"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How far one thing moved.

    Attributes:
      kind: ``skew``: from training; ``drift``: from the time before; ``prediction``: the answers,
        from those for the evaluation split; ``missing``, ``unseen``, ``out_of_range``: shares of
        values; ``quality``: what the metric lost.
      feature: the feature, output or metric.
      measure: what the distance is.
      distance: how far.
      allowed: how far it may: by the settings, or as far as the evaluation split is from training.
      chance: what chance explains.
      seen: the values in words, where that helps.
    """

    kind: What
    feature: str
    measure: str
    distance: float
    allowed: float
    chance: float = 0.0
    seen: str = ""

    @property
    def threshold(self) -> float:
        """Beyond it something moved."""
        return self.allowed + self.chance

    @property
    def moved(self) -> bool:
        """Whether it moved further than it may and than chance explains."""
        return self.distance > self.threshold

    @property
    def rank(self) -> float:
        """Sorts what moved furthest to the front."""
        return -self.distance / max(self.threshold, 1e-9)
