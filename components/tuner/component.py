"""Tuner: the hyperparameters that Trainer trains with."""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.tuner import executor


class TunerSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of Tuner."""

    PARAMETERS: dict[str, Any] = {  # noqa: RUF012
        "settings": component_spec.ExecutionParameter(type=str),
        "custom_config": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {  # noqa: RUF012
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS: dict[str, Any] = {  # noqa: RUF012
        "best_hyperparameters": component_spec.ChannelParameter(
            type=standard_artifacts.HyperParameters
        ),
        "tuner_results": component_spec.ChannelParameter(type=standard_artifacts.TunerResults),
    }


class Tuner(base_component.BaseComponent):
    """Tries hyperparameters on a part of the train split, in processes side by side.

    TFX's own Tuner takes KerasTuner, which takes models of Keras 3 only; see
    docs/decisions/025-tuner.md. The outputs are called and typed as its are.

    Outputs:
      best_hyperparameters: what Trainer's ``hyperparameters`` takes.
      tuner_results: ``report.json``: all trials, the best one, and a summary.
    """

    SPEC_CLASS = TunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        settings: str,
        custom_config: str,
        code: str,
    ) -> None:
        """Makes the component.

        Args:
          examples: the joined ones, before Transform, which drops their time and entity.
          transform_graph: Transform's.
          settings: JSON of ``components.tuner.settings.TunerSettings``.
          custom_config: JSON of what Trainer is given.
          code: a fingerprint of the code, part of the cache's key.
        """
        super().__init__(
            spec=TunerSpec(
                examples=examples,
                transform_graph=transform_graph,
                settings=settings,
                custom_config=custom_config,
                code=code,
                best_hyperparameters=types.Channel(type=standard_artifacts.HyperParameters),
                tuner_results=types.Channel(type=standard_artifacts.TunerResults),
            )
        )
