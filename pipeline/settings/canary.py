"""What stands under ``serving: canary:``: how a staged version comes to its traffic, or not."""

import dataclasses
from typing import Annotated, Any

import pydantic

from pipeline.settings.fields import FROZEN, Number, Switch
from serving.rollout.plan import Plan, Step, Thresholds, broken_rule

_PLAN, _STEP, _LIMITS = Plan(), Step(1), Thresholds()
_Whole = Annotated[int, pydantic.Field(strict=True)]


class Canary(pydantic.BaseModel):
    """A trial's steps, thresholds and time-outs, as ``serving.rollout.plan`` explains them.

    Attributes:
      steps: rising shares of the traffic, in percent.
      min_seconds: how long each step lasts at least.
      min_requests: how many requests the canary must have answered in each.
    """

    model_config = FROZEN

    steps: list[_Whole] = [step.percent for step in _PLAN.steps]
    min_seconds: Number = _STEP.min_seconds
    min_requests: _Whole = _STEP.min_requests
    error_share: Number = _LIMITS.error_share
    more_errors: Number = _LIMITS.more_errors
    slower_by: Number = _LIMITS.slower_by
    slower_floor_ms: Number = _LIMITS.slower_floor_ms
    invalid_share: Number = _LIMITS.invalid_share
    compare_answers: Switch = _LIMITS.compare_answers
    psi: Number = _LIMITS.psi
    judge_after: _Whole = _LIMITS.judge_after
    events: _Whole = _LIMITS.events
    timeout_seconds: Number = _PLAN.timeout_seconds
    load_seconds: Number = _PLAN.load_seconds
    grace_seconds: Number = _PLAN.grace_seconds
    window_seconds: Number = _PLAN.window_seconds

    @pydantic.field_validator("*")
    @classmethod
    def _keeps_the_plans_rule(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        rule = broken_rule(str(info.field_name), value)
        if rule:
            raise ValueError(rule)
        return value

    @pydantic.model_validator(mode="after")
    def _makes_a_plan(self) -> "Canary":
        self.plan(_LIMITS.p99_ms)
        return self

    def plan(self, p99_ms: float, **instead: Any) -> Plan:
        """The plan of a trial.

        Args:
          p99_ms: ``serving.latency_p99_ms``.
          instead: fields of this block that are to have another value.

        Raises:
          ValueError: if one of these, or their combination, breaks a rule of the plan.
        """
        values = {**self.model_dump(), "p99_ms": p99_ms, **instead}

        def taken(kind: type) -> dict[str, Any]:
            return {f.name: values[f.name] for f in dataclasses.fields(kind) if f.name in values}

        steps = tuple(Step(percent, **taken(Step)) for percent in values["steps"])
        return Plan(
            **{**taken(Plan), "steps": steps, "thresholds": Thresholds(**taken(Thresholds))}
        )
