"""Which version answers a request that names none.

TensorFlow Serving has no weights: there a service mesh or Gateway API splits traffic between
deployments. The embedded server splits by itself, which is an extension of what it emulates.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Traffic:
    """How requests without a version and without a label are split.

    Attributes:
      stable: the version that serves; the label ``stable`` means it.
      canary: the version on trial, if there is one; the label ``canary`` means it.
      percent: how many of 100 requests go to the canary; the rest goes to the stable version.

    Raises:
      ValueError: if the percentage is outside [0, 100], or above 0 without a canary.
    """

    stable: int
    canary: int | None = None
    percent: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"percent is {self.percent}: expected 0 to 100")
        if self.canary is None and self.percent:
            raise ValueError(f"percent is {self.percent}, but there is no canary")

    def choose(self, draw: float) -> int:
        """The version for one request.

        Args:
          draw: uniform in [0, 1), such as ``random.random()``.
        """
        if self.canary is not None and draw * 100 < self.percent:
            return self.canary
        return self.stable

    def shares(self) -> dict[int, float]:
        """By version, its share of the requests."""
        shares = {self.stable: 1 - self.percent / 100}
        if self.canary is not None:
            shares[self.canary] = self.percent / 100
        return shares

    def labels(self) -> dict[str, int]:
        """The version labels that follow the split."""
        labels = {"stable": self.stable}
        if self.canary is not None:
            labels["canary"] = self.canary
        return labels
