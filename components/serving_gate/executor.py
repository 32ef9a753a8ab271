"""ServingGate's work between TFX's artifacts and the gate's plain functions."""

import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.ingest import examples, tfrecord
from components.serving_gate import predictions
from components.serving_gate.gate import Verdict, examine
from components.serving_gate.settings import BLESSED, NOT_BLESSED, GateSettings
from serving.folders import copy_tree, write_atomically

EVALUATED = "eval"
REPORT = "report.json"
STORED_MODEL = "stored_model"


def write(verdict: Verdict, staged: Path, settings: GateSettings, folder: Path) -> None:
    """Writes what was found.

    Args:
      verdict: what the gate found.
      staged: the candidate with its warm-up requests; kept if it is blessed.
      settings: the budget.
      folder: the blessing's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if verdict.blessed:
        copy_tree(staged, folder / STORED_MODEL, link=True)
    report = {
        "summary": verdict.summary,
        "blessed": verdict.blessed,
        "reasons": verdict.reasons,
        "measured": verdict.measured,
        "budget": settings.model_dump(),
    }
    write_atomically(folder / REPORT, json.dumps(report, indent=2) + "\n")
    (folder / (BLESSED if verdict.blessed else NOT_BLESSED)).touch()


class Executor(base_executor.BaseExecutor):
    """Reads examples, examines, blesses or not."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes ``report.json``, the blessing's file, and the warmed model if it is blessed."""
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = GateSettings.model_validate_json(exec_properties["settings"])
        model = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        files = examples.split_files(
            artifact_utils.get_single_uri(input_dict["examples"]), EVALUATED
        )
        records = list(itertools.islice(tfrecord.read_records(files), predictions.ROWS))
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        work = Path(tempfile.mkdtemp(prefix="serving-gate-"))
        try:
            verdict = examine(Path(model), records, settings, work)
            write(verdict, work / "models/1", settings, Path(blessing.uri))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        blessing.set_int_custom_property("blessed", int(verdict.blessed))
        blessing.set_int_custom_property("has_model", int(verdict.blessed))
