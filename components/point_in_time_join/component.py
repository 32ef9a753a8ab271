"""PointInTimeJoin: joins what was known of each entity at each observation, and nothing later."""

from collections.abc import Mapping

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.ingest.artifacts import QualityReport
from components.point_in_time_join.executor import Executor
from components.point_in_time_join.settings import JoinSettings


class PointInTimeJoinSpec(component_spec.ComponentSpec):
    """The spec without sources; each component gets one with an input a source."""

    PARAMETERS = {  # noqa: RUF012
        "settings": component_spec.ExecutionParameter(type=str),
        "as_of": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {"spine": component_spec.ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "report": component_spec.ChannelParameter(type=QualityReport),
    }


class PointInTimeJoin(base_beam_component.BaseBeamComponent):
    """Joins sources onto the spine as of each observation and parts the result into splits.

    A row of a source is joined only if its event time, and where the source has one its known-at
    time, is not later than the observation's.

    Outputs:
      examples: Examples with the splits ``train`` and ``eval``: the spine's columns and, prefixed
        with their source's name, the features.
      report: ``report.json``: rows and labels by split, dropped rows by reason, and by source the
        share of observations that found a row and how old it was.
    """

    SPEC_CLASS = PointInTimeJoinSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        spine: types.BaseChannel,
        sources: Mapping[str, types.BaseChannel],
        settings: str,
        as_of: str | RuntimeParameter,
        code: str = "",
    ) -> None:
        """Makes the component.

        Args:
          spine: Examples of the observations, split ``all``.
          sources: by name Examples of the sources: split ``all`` of SQL sources, one split a window
            step (``every_1h``) of sensors.
          settings: JoinSettings as JSON.
          as_of: the instant at which the run stands, ISO 8601, or a parameter of the run.
          code: a fingerprint of the code, part of the cache key.

        Raises:
          ValueError: if the settings are not JoinSettings, or name other sources than ``sources``.
        """
        named = JoinSettings.model_validate_json(settings).sources
        if set(named) != set(sources):
            raise ValueError(
                f"settings name the sources {sorted(named)}, channels are given for "
                f"{sorted(sources)}"
            )
        channels = {f"source_{name}": channel for name, channel in sorted(sources.items())}

        class Spec(PointInTimeJoinSpec):
            """With an input a source."""

            INPUTS = {  # noqa: RUF012
                **PointInTimeJoinSpec.INPUTS,
                **{
                    key: component_spec.ChannelParameter(type=standard_artifacts.Examples)
                    for key in channels
                },
            }

        spec = Spec(
            spine=spine,
            settings=settings,
            as_of=as_of,
            code=code,
            examples=types.Channel(type=standard_artifacts.Examples),
            report=types.Channel(type=QualityReport),
            **channels,
        )
        super().__init__(spec=spec)
