"""What a trial asks of a version: its steps, its thresholds, its patience."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

_Rule = tuple[Callable[[Any], bool], str]
_POSITIVE: _Rule = (lambda value: 0 < value < math.inf, "expected a number above 0")
_SHARE: _Rule = (lambda value: 0 <= value <= 1, "expected a share from 0 to 1")
_COUNT: _Rule = (lambda value: value >= 1, "expected at least 1")
_NOT_NEGATIVE: _Rule = (lambda value: 0 <= value < math.inf, "expected a number of at least 0")
_RULES: Mapping[str, _Rule] = {
    "percent": (lambda value: 1 <= value <= 99, "expected 1 to 99"),
    "min_seconds": _NOT_NEGATIVE,
    "min_requests": _COUNT,
    "p99_ms": _POSITIVE,
    "error_share": _SHARE,
    "more_errors": _SHARE,
    "slower_by": _POSITIVE,
    "slower_floor_ms": _NOT_NEGATIVE,
    "invalid_share": _SHARE,
    "psi": _NOT_NEGATIVE,
    "judge_after": _COUNT,
    "events": _COUNT,
    "steps": (
        lambda value: bool(value) and [0, *value, 100] == sorted({0, *value, 100}),
        "expected rising shares in percent, from 1 to 99, at least one",
    ),
    "timeout_seconds": _POSITIVE,
    "load_seconds": _POSITIVE,
    "grace_seconds": _POSITIVE,
    "window_seconds": _POSITIVE,
}


def broken_rule(name: str, value: Any) -> str:
    """What is expected of a value of that name, if it is another; else empty.

    Args:
      name: a field of Step, Thresholds or Plan; of ``steps`` the shares.
      value: of the right type.
    """
    holds, rule = _RULES.get(name, (lambda _: True, ""))
    return "" if holds(value) else rule


def _check(value: Any, **instead: Any) -> None:
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for name, held in {**fields, **instead}.items():
        rule = broken_rule(name, held)
        if rule:
            raise ValueError(f"{name} is {held}: {rule}")


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
        _check(self)


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
        least ``slower_floor_ms`` longer, and longer than a few stalls of the machine explain.
      slower_floor_ms: a difference below this is noise.
      invalid_share: answers with NaN or infinities among its requests, where they are counted.
      compare_answers: whether the distributions of the two versions' answers are compared, where
        they are counted.
      psi: how far they may be apart beyond chance, as a population stability index:
        ``serving.rollout.divergence``.
      judge_after: how many requests it takes to judge a share or a latency at all; a mean takes
        five times as many.
      events: how many errors or slow requests it takes for a rollback. Fewer hold the step until
        more requests tell, or its time is out.
    """

    p99_ms: float = 50.0
    error_share: float = 0.01
    more_errors: float = 0.005
    slower_by: float = 2.0
    slower_floor_ms: float = 5.0
    invalid_share: float = 0.0
    compare_answers: bool = True
    psi: float = 0.25
    judge_after: int = 20
    events: int = 3

    def __post_init__(self) -> None:
        _check(self)


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
        _check(self, steps=[step.percent for step in self.steps])
        longest = max(step.min_seconds for step in self.steps)
        if self.timeout_seconds <= longest:
            raise ValueError(
                f"timeout_seconds is {self.timeout_seconds:g}: expected more than min_seconds, "
                f"{longest:g}, or no step could be passed"
            )

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
