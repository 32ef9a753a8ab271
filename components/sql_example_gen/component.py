"""SqlExampleGen: rows of a SQL query to Examples, read in parts side by side."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.ingest.artifacts import QualityReport
from components.sql_example_gen.executor import Executor


class SqlExampleGenSpec(component_spec.ComponentSpec):
    """The spec; see SqlExampleGen."""

    PARAMETERS = {  # noqa: RUF012
        "name": component_spec.ExecutionParameter(type=str),
        "source": component_spec.ExecutionParameter(type=str),
        "as_of": component_spec.ExecutionParameter(type=str),
        "split": component_spec.ExecutionParameter(type=str),
        "horizon": component_spec.ExecutionParameter(type=str),
        "watermark": component_spec.ExecutionParameter(type=str),
        "spine": component_spec.ExecutionParameter(type=int),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "report": component_spec.ChannelParameter(type=QualityReport),
    }


class SqlExampleGen(base_beam_component.BaseBeamComponent):
    """Reads the rows of a source's query that a run needs.

    The database's URL is read from the environment by the executor and its workers: no password
    reaches the component's parameters.

    Outputs:
      examples: Examples with one split, ``all``: the query's columns as ``sql/columns.py`` maps
        them. Times are int64 microseconds since the epoch. One shard a part of the query.
      report: ``report.json``: the stretch of time asked for and found, the columns' kinds, rows in
        all and by part.
    """

    SPEC_CLASS = SqlExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        name: str,
        source: str,
        as_of: str | RuntimeParameter,
        split: str,
        horizon: str = "0s",
        watermark: str = "",
        spine: int = 0,
        code: str = "",
    ) -> None:
        """Makes the component.

        Args:
          name: the source's name in settings.
          source: SqlSource as JSON.
          as_of: the instant at which the run stands, ISO 8601, or a parameter of the run.
          split: Split as JSON: it tells which stretch of time is needed.
          horizon: the label's horizon, such as ``'24h'``; ``'0s'`` if there is none.
          watermark: tells whether the data may have changed (``sql.watermark``); part of the cache
            key.
          spine: 1 if the rows are the observations; 0 if they are events that are joined to them,
            whose windows begin before the first observation.
          code: a fingerprint of the code, part of the cache key.
        """
        spec = SqlExampleGenSpec(
            name=name,
            source=source,
            as_of=as_of,
            split=split,
            horizon=horizon,
            watermark=watermark,
            spine=spine,
            code=code,
            examples=types.Channel(type=standard_artifacts.Examples),
            report=types.Channel(type=QualityReport),
        )
        super().__init__(spec=spec)
