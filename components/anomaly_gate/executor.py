"""AnomalyGate's work between TFX's artifacts and the gate's plain functions."""

import pathlib
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.anomaly_gate.gate import judge, write_report
from components.anomaly_gate.settings import GateSettings
from components.anomaly_gate.statistics_files import read_anomalies, read_statistics
from components.curated_schema.schema_file import read_schema


class Executor(base_executor.BaseExecutor):
    """Reads what was found, writes the report, raises."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes ``report.json``.

        Raises:
          AnomalyError: if an anomaly stops the run.
        """
        self._log_startup(input_dict, output_dict, exec_properties)

        def folder(key: str) -> pathlib.Path:
            return pathlib.Path(artifact_utils.get_single_uri(input_dict[key]))

        verdict = judge(
            statistics=read_statistics(folder("statistics")),
            schema=read_schema(folder("schema") / "schema.pbtxt"),
            anomalies=read_anomalies(folder("anomalies")),
            baseline=read_statistics(folder("baseline_statistics")),
            settings=GateSettings.model_validate_json(exec_properties["settings"]),
        )
        write_report(verdict, pathlib.Path(artifact_utils.get_single_uri(output_dict["report"])))
