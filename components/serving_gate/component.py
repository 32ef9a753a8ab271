"""ServingGate: blesses a candidate that loads, answers right and answers in time."""

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.serving_gate import executor


class ServingGateSpec(component_spec.ComponentSpec):
    """What ServingGate takes and makes."""

    PARAMETERS: dict[str, Any] = {  # noqa: RUF012
        "settings": component_spec.ExecutionParameter(type=str),
        "refusals": component_spec.ExecutionParameter(type=int),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS: dict[str, Any] = {  # noqa: RUF012
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
    }


class ServingGate(base_component.BaseComponent):
    """Serves the candidate with the embedded server and asks it as users will.

    TFX's InfraValidator needs docker or a cluster, and neither compares answers nor measures
    latency. This one asks with examples of the evaluation split over REST and gRPC, by every
    signature, compares each answer with the model called in process, then sends requests at a rate
    whether or not they are answered and holds the 99th percentile, the failures and the memory
    against the budget.

    Outputs:
      blessing: INFRA_BLESSED or INFRA_NOT_BLESSED; ``report.json`` with figures and reasons;
        ``stored_model``, the candidate with warm-up requests, which is what to push.
    """

    SPEC_CLASS = ServingGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: channel.BaseChannel,
        examples: channel.BaseChannel,
        settings: str,
        code: str,
        refusals: int = 0,
    ) -> None:
        """Makes the component.

        Args:
          model: the candidate.
          examples: raw examples with an ``eval`` split.
          settings: JSON of `components.serving_gate.settings.GateSettings`.
          code: a fingerprint of the code, part of the cache's key.
          refusals: how many candidates were refused before. It is part of the cache's key, too, so
            that a refusal is never taken from the cache: the machine may have been busy.
        """
        super().__init__(
            spec=ServingGateSpec(
                model=model,
                examples=examples,
                settings=settings,
                code=code,
                refusals=refusals,
                blessing=channel.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
