"""SensorExampleGen: sensor files to windowed features, with what was wrong with the readings."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.ingest.artifacts import QualityReport, Quarantine
from components.sensor_example_gen.executor import Executor


class SensorExampleGenSpec(component_spec.ComponentSpec):
    """The spec; see SensorExampleGen."""

    PARAMETERS = {  # noqa: RUF012
        "name": component_spec.ExecutionParameter(type=str),
        "source": component_spec.ExecutionParameter(type=str),
        "as_of": component_spec.ExecutionParameter(type=str),
        "split": component_spec.ExecutionParameter(type=str),
        "horizon": component_spec.ExecutionParameter(type=str),
        "watermark": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "quarantine": component_spec.ChannelParameter(type=Quarantine),
        "report": component_spec.ChannelParameter(type=QualityReport),
    }


class SensorExampleGen(base_beam_component.BaseBeamComponent):
    """Reads a sensor source's files, cleans the readings and computes window features.

    Outputs:
      examples: Examples with one split a window step, named ``every_1h``: the entity, ``time`` (the
        window's end) and ``known_at``, int64 microseconds, and ``{channel}_{aggregate}_{size}``.
      quarantine: Parquet files of the rejected readings with file, line, reason and value.
      report: ``report.json``: what became of every reading, by reason, file, channel and gateway.
    """

    SPEC_CLASS = SensorExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        name: str,
        source: str,
        as_of: str | RuntimeParameter,
        split: str,
        horizon: str,
        watermark: str = "",
        code: str = "",
    ) -> None:
        """Makes the component.

        Args:
          name: the source's name in settings.
          source: SensorSource as JSON.
          as_of: the instant at which the run stands, ISO 8601, or a parameter of the run.
          split: Split as JSON: it tells which stretch of time is needed.
          horizon: the label's horizon, such as ``'24h'``; ``'0s'`` if there is none.
          watermark: a fingerprint of the files (``sensor_files.watermark``), part of the cache key.
          code: a fingerprint of the code, part of the cache key.
        """
        spec = SensorExampleGenSpec(
            name=name,
            source=source,
            as_of=as_of,
            split=split,
            horizon=horizon,
            watermark=watermark,
            code=code,
            examples=types.Channel(type=standard_artifacts.Examples),
            quarantine=types.Channel(type=Quarantine),
            report=types.Channel(type=QualityReport),
        )
        super().__init__(spec=spec)
