"""AnomalyGate: stops the run if the data has an anomaly."""

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.anomaly_gate import executor
from components.ingest.artifacts import QualityReport


class AnomalyGateSpec(component_spec.ComponentSpec):
    """What AnomalyGate takes and makes."""

    PARAMETERS: dict[str, Any] = {  # noqa: RUF012
        "settings": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {  # noqa: RUF012
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "baseline_statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        ),
    }
    OUTPUTS: dict[str, Any] = {  # noqa: RUF012
        "report": component_spec.ChannelParameter(type=QualityReport),
    }


class AnomalyGate(base_component.BaseComponent):
    """Raises where ExampleValidator only writes.

    It takes what ExampleValidator found, adds what serving would lack and how far the data moved
    from the champion's and from train to eval, writes all of it to ``report``, and raises
    AnomalyError unless the settings let it pass.
    """

    SPEC_CLASS = AnomalyGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        statistics: channel.BaseChannel,
        schema: channel.BaseChannel,
        anomalies: channel.BaseChannel,
        baseline_statistics: channel.BaseChannel,
        settings: str,
        code: str,
    ) -> None:
        """Construct the component.

        Args:
          statistics: of the examples, by split.
          schema: the curated schema.
          anomalies: what ExampleValidator found.
          baseline_statistics: of the examples that made the champion; may be empty.
          settings: JSON of `components.anomaly_gate.settings.GateSettings`.
          code: a fingerprint of the component's code.
        """
        spec = AnomalyGateSpec(
            statistics=statistics,
            schema=schema,
            anomalies=anomalies,
            baseline_statistics=baseline_statistics,
            settings=settings,
            code=code,
            report=channel.Channel(type=QualityReport),
        )
        super().__init__(spec=spec)
