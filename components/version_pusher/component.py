"""VersionPusher: makes a model that every gate blessed the next version to serve."""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.version_pusher import executor


class VersionPusherSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of VersionPusher."""

    PARAMETERS: dict[str, Any] = {  # noqa: RUF012
        "directory": component_spec.ExecutionParameter(type=str),
        "keep": component_spec.ExecutionParameter(type=int),
        "lineage": component_spec.ExecutionParameter(type=str),
        "as_of": component_spec.ExecutionParameter(type=str),
        "split": component_spec.ExecutionParameter(type=str),
        "horizon": component_spec.ExecutionParameter(type=str),
        "rollout": component_spec.ExecutionParameter(type=str),
        "registry": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": component_spec.ChannelParameter(
            type=standard_artifacts.InfraBlessing, optional=True
        ),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "hyperparameters": component_spec.ChannelParameter(
            type=standard_artifacts.HyperParameters, optional=True
        ),
    }
    OUTPUTS: dict[str, Any] = {  # noqa: RUF012
        "pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)
    }


class VersionPusher(base_component.BaseComponent):
    """Pushes the model into the release record, or says why it did not.

    TFX's own Pusher copies into the live folder, where the copy is seen half done, numbers versions
    by the clock and keeps them for ever.

    Outputs:
      pushed_model: ``pushed.json``, read by ``report.read_push``: whether the model is a version
        now, which, and why. The artifact's custom properties ``pushed``, ``pushed_version`` and
        ``pushed_destination`` say the same in TFX's words.
    """

    SPEC_CLASS = VersionPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        evaluation: types.BaseChannel,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        directory: str,
        keep: int,
        lineage: str,
        as_of: str | RuntimeParameter,
        split: str,
        horizon: str,
        code: str,
        infra_blessing: types.BaseChannel | None = None,
        hyperparameters: types.BaseChannel | None = None,
        rollout: str = "at_once",
        registry: str = "",
    ) -> None:
        """Makes the component.

        Args:
          model: the candidate.
          model_blessing: Evaluator's.
          evaluation: Evaluator's, with ``evaluation.json``.
          statistics: of the examples that the candidate was trained on.
          schema: of those examples.
          directory: the served model's folder, ``<serving.directory>/<serving.model>``.
          keep: how many of the newest versions stay.
          lineage: JSON object for the release record: fingerprints and commit. The run, as_of and
            the window of the data are added when it runs.
          as_of: the instant at which the run stands, ISO 8601, or a parameter of the run.
          split: Split as JSON.
          horizon: the label's horizon, such as ``'24h'``.
          code: a fingerprint of the code, part of the cache's key.
          infra_blessing: the serving gate's, if the pipeline has one.
          hyperparameters: Tuner's, kept in the version's lineage, if the pipeline has one.
          rollout: ``at_once``: the version serves; ``canary``: it is staged for a trial.
          registry: JSON of ``serving.registry.settings.Registry``, where the release is mirrored;
            empty for nowhere.
        """
        super().__init__(
            spec=VersionPusherSpec(
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                evaluation=evaluation,
                statistics=statistics,
                schema=schema,
                hyperparameters=hyperparameters,
                directory=directory,
                keep=keep,
                lineage=lineage,
                as_of=as_of,
                split=split,
                horizon=horizon,
                rollout=rollout,
                registry=registry,
                code=code,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
