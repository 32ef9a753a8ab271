"""Whether a version on trial holds, goes on or goes back: a pure function."""

import dataclasses
from typing import Any, Literal

from serving.rollout.divergence import divergence
from serving.rollout.plan import Plan, Thresholds
from serving.rollout.tally import Tally

_SIGMAS = 3.0
"""By how many standard errors a mean must be too long: one stall of the machine is in it whole."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """Where a version on trial stands.

    Attributes:
      version: its number.
      state: staged, available or canary.
      percent: its share of the traffic.
    """

    version: int
    state: str
    percent: int


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What was measured since the step began.

    Attributes:
      canary: requests to the version on trial.
      stable: requests to the stable version in the same time.
      recent_canary: those of the latest stretch.
      recent_stable: and the stable version's.
      lasted: for how many seconds the step has been watched.
      silent: for how many of them, up to now, metrics were missing.
      missing: why they were not read this time; empty if they were.
      not_loaded: why the version does not answer, as the server says; empty if it does, or nobody
        is asked.
    """

    canary: Tally = dataclasses.field(default_factory=Tally)
    stable: Tally = dataclasses.field(default_factory=Tally)
    recent_canary: Tally = dataclasses.field(default_factory=Tally)
    recent_stable: Tally = dataclasses.field(default_factory=Tally)
    lasted: float = 0.0
    silent: float = 0.0
    missing: str = ""
    not_loaded: str = ""

    def numbers(self) -> dict[str, Any]:
        """For the history."""
        told: dict[str, Any] = {"canary": self.canary.numbers(), "stable": self.stable.numbers()}
        if self.canary.answers and self.stable.answers:
            told["psi"] = round(_divergence(self.canary, self.stable)[0], 3)
        return told


@dataclasses.dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
      action: ``hold``, ``advance`` or ``roll back``.
      why: in a sentence.
      percent: what ``advance`` leads to: 0 available, 1 to 99 canary, 100 stable.
    """

    action: Literal["hold", "advance", "roll back"]
    why: str
    percent: int = 0


def decide(plan: Plan, trial: Trial, evidence: Evidence) -> Decision:
    """Decides about a version on trial.

    Args:
      plan: what is asked of it.
      trial: where it stands.
      evidence: what was measured since it stands there.
    """
    if trial.state == "staged":
        if evidence.missing:
            return Decision("hold", f"waits for metrics: {evidence.missing}")
        return Decision("advance", "its turn has come", 0)
    if trial.state == "available":
        return _loaded(plan, evidence)
    breach = _breach(plan.thresholds, evidence)
    if breach:
        return Decision("roll back", breach)
    if evidence.missing:
        why = f"no metrics for {evidence.silent:.0f} s: {evidence.missing}"
        return Decision("roll back" if evidence.silent > plan.grace_seconds else "hold", why)
    return _step(plan, trial, evidence)


def _loaded(plan: Plan, evidence: Evidence) -> Decision:
    if not evidence.not_loaded and not evidence.missing:
        return Decision("advance", "nothing says that it is not loaded", plan.steps[0].percent)
    lacks = "the server has not loaded it" if evidence.not_loaded else "no metrics"
    reasons = "; ".join(filter(None, (evidence.not_loaded, evidence.missing)))
    why = f"{lacks} after {evidence.lasted:.0f} s: {reasons}"
    return Decision("roll back" if evidence.lasted > plan.load_seconds else "hold", why)


def _step(plan: Plan, trial: Trial, evidence: Evidence) -> Decision:
    step, count, lasted = plan.step(trial.percent), evidence.canary.requests, evidence.lasted
    wants = []
    if evidence.canary.requests < step.min_requests:
        wants.append(f"{count:.0f} of {step.min_requests} requests")
    elif evidence.canary.measured < plan.thresholds.judge_after:
        wants.append(f"{evidence.canary.measured:.0f} of {plan.thresholds.judge_after} latencies")
    if evidence.stable.requests < plan.thresholds.judge_after:
        wants.append(
            f"{evidence.stable.requests:.0f} of {plan.thresholds.judge_after} requests to the "
            "stable version"
        )
    if wants and lasted > plan.timeout_seconds:
        return Decision("roll back", f"after {lasted:.0f} s only {' and '.join(wants)}")
    if lasted < step.min_seconds:
        wants.append(f"{lasted:.0f} of {step.min_seconds:g} s")
    if wants:
        return Decision("hold", ", ".join(wants))
    doubt = _worse(plan.thresholds, evidence.canary, evidence.stable, 1)
    if doubt:
        action: Literal["hold", "roll back"] = (
            "roll back" if lasted > plan.timeout_seconds else "hold"
        )
        return Decision(action, f"{doubt}; so far by fewer than {plan.thresholds.events} requests")
    return Decision(
        "advance",
        f"{count:.0f} requests in {lasted:.0f} s within every threshold",
        plan.following(trial.percent),
    )


def _breach(thresholds: Thresholds, evidence: Evidence) -> str:
    events = thresholds.events
    whole = _worse(thresholds, evidence.canary, evidence.stable, events)
    return whole or _worse(thresholds, evidence.recent_canary, evidence.recent_stable, events)


def _worse(limit: Thresholds, canary: Tally, stable: Tally, events: int) -> str:
    if canary.requests < limit.judge_after:
        return ""
    faults = canary.errors - canary.client_errors
    if faults >= events and canary.fault_share > limit.error_share:
        return f"{canary.fault_share:.2%} errors: {limit.error_share:.2%} are allowed"
    if canary.invalid_share > limit.invalid_share:
        return f"{canary.invalid_share:.2%} of its answers are NaN or infinite"
    if canary.measured >= limit.judge_after:
        p99, mean = canary.quantile_ms(0.99), canary.mean_ms
        slow = canary.over_ms(limit.p99_ms)
        if slow >= events and p99 is not None and p99 > limit.p99_ms * (1 + 1e-9):
            return f"p99 is up to {p99:g} ms: {limit.p99_ms:g} ms are allowed"
        reference = stable.mean_ms if stable.measured >= limit.judge_after else None
        if (
            mean is not None
            and canary.measured >= 5 * limit.judge_after
            and reference is not None
            and mean - _SIGMAS * canary.mean_error_ms > limit.slower_by * reference
            and mean - reference > limit.slower_floor_ms
        ):
            return (
                f"mean latency is {mean:.1f} ms, the stable version's {reference:.1f} ms: "
                f"{limit.slower_by:g} times that is allowed"
            )
    if stable.requests >= limit.judge_after:
        more = canary.error_share - stable.error_share
        if canary.errors >= events and more > limit.more_errors:
            return (
                f"{canary.error_share:.2%} errors, the stable version has "
                f"{stable.error_share:.2%}: {limit.more_errors:.2%} more are allowed"
            )
        if limit.compare_answers:
            index, output = _divergence(canary, stable)
            if index > limit.psi:
                return (
                    f"its answers are distributed otherwise than the stable version's: PSI of "
                    f"{output} is {index:.2f}, {limit.psi:g} is allowed"
                )
    return ""


def _divergence(canary: Tally, stable: Tally) -> tuple[float, str]:
    """The largest of the outputs that both versions have, and which one that is."""
    both = [output for output in canary.answers if output in stable.answers]
    found = [(divergence(canary.answers[o], stable.answers[o]), o) for o in both]
    return max(found, default=(0.0, ""))
