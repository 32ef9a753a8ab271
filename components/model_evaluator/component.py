"""Evaluator: TFX's, whose baseline may be a Champion that found none."""

import json
from typing import Any

import tfx.components
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs

from components.model_evaluator import executor


class EvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """TFX's, and a fingerprint of the code."""

    PARAMETERS: dict[str, Any] = {  # noqa: RUF012
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        "code": component_spec.ExecutionParameter(type=str),
    }


class Evaluator(tfx.components.Evaluator):
    """Evaluates a model on its own and against the champion.

    Outputs:
      evaluation: TFMA's results, ``evaluation.json`` (``report.read_evaluation``) and
        ``plots.json`` (``report.read_plots``).
      blessing: a file ``BLESSED`` or ``NOT_BLESSED``.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        schema: types.BaseChannel,
        eval_config: config_pb2.EvalConfig,
        example_splits: list[str] | None = None,
        code: str = "",
    ) -> None:
        """Makes the component.

        Args:
          examples: raw examples with the label; the split ``eval`` counts.
          model: the candidate.
          baseline_model: Champion's; it may hold no model.
          schema: of the examples.
          eval_config: made by ``config.eval_config``.
          example_splits: other splits to evaluate on.
          code: a fingerprint of the code, part of the cache's key.
        """
        # Not TFX's own initialiser: it knows no `code`.
        base_beam_component.BaseBeamComponent.__init__(
            self,
            spec=EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                schema=schema,
                eval_config=eval_config,
                example_splits=json.dumps(example_splits),
                fairness_indicator_thresholds="null",
                code=code,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            ),
        )
