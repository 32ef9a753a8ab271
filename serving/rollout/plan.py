"""What a trial asks of a version: its steps, its thresholds, its patience."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Step:
    """A share of the traffic, and what it takes to get past it.

    Attributes:
      percent: out of 100 requests, those that the canary gets; 1 to 99.
      min_seconds: how long the step lasts at least.
      min_requests: how many requests the canary must have answered in it.
    """

    percent: int
    min_seconds: float = 60.0
    min_requests: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.percent <= 99:
            raise ValueError(f"a step's percent is {self.percent}: expected 1 to 99")
        if self.min_seconds < 0:
            raise ValueError(f"a step's min_seconds is {self.min_seconds}: expected 0 or more")
        if self.min_requests < 1:
            raise ValueError(f"a step's min_requests is {self.min_requests}: expected at least 1")


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Past any of these, a version is rolled back.

    Attributes:
      p99_ms: what 99 of 100 requests must stay under. It is compared with the upper edge of the
        histogram's bucket, so a value that is an edge is exact and any other one is cautious.
      error_share: errors of the server or the model among its requests.
      more_errors: its share of errors of any kind less the stable version's: a version that
        refuses what the stable one takes shows here, a client that sends nonsense to both doesn't.
      slower_by: its mean latency over the stable version's, compared where its mean is also at
        least ``slower_floor_ms`` longer.
      slower_floor_ms: a difference below this is noise.
      invalid_share: answers with NaN or infinities among its requests, where they are counted.
      judge_after: how many requests it takes to judge a share or a latency at all; a mean takes
        five times as many, as one request can spoil it.
      events: how many errors or slow requests it takes for a rollback. Fewer hold the step until
        more requests tell, or its time is out.
    """

    p99_ms: float = 50.0
    error_share: float = 0.01
    more_errors: float = 0.005
    slower_by: float = 2.0
    slower_floor_ms: float = 5.0
    invalid_share: float = 0.0
    judge_after: int = 20
    events: int = 3

    def __post_init__(self) -> None:
        for name in ("p99_ms", "slower_by"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}: expected a number above 0")
        for name in ("error_share", "more_errors", "invalid_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}: expected 0 to 1")
        for name in ("judge_after", "events"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: expected at least 1")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A trial.

    Attributes:
      steps: with rising shares.
      thresholds: what it must keep.
      timeout_seconds: a step that lasts longer without enough requests ends in a rollback.
      load_seconds: how long the server may take to load the version.
      grace_seconds: metrics that are away for longer end in a rollback.
      window_seconds: besides the whole step, this latest stretch of it is judged by itself, so
        that a version that turns bad late is not saved by its good beginning.
    """

    steps: tuple[Step, ...] = (Step(1), Step(10), Step(50))
    thresholds: Thresholds = Thresholds()
    timeout_seconds: float = 3600.0
    load_seconds: float = 300.0
    grace_seconds: float = 60.0
    window_seconds: float = 60.0

    def __post_init__(self) -> None:
        shares = [step.percent for step in self.steps]
        if not shares or shares != sorted(set(shares)):
            raise ValueError(f"the steps' shares are {shares}: expected rising ones, at least one")
        longest = max(step.min_seconds for step in self.steps)
        if self.timeout_seconds <= longest:
            raise ValueError(
                f"timeout_seconds is {self.timeout_seconds}, but a step lasts at least {longest}"
            )
        for name in ("load_seconds", "grace_seconds", "window_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a number above 0")

    def step(self, percent: int) -> Step:
        """The step that a canary with this share is in.

        A share that a former plan gave and this one does not have belongs to the next smaller
        step.
        """
        below = [step for step in self.steps if step.percent <= percent]
        return below[-1] if below else self.steps[0]

    def following(self, percent: int) -> int:
        """The share after this one; 100 after the last."""
        return next((step.percent for step in self.steps if step.percent > percent), 100)
