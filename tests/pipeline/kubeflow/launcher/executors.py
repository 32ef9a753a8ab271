# ruff: noqa: N802 (TFX names: Do)
"""Executors of a few lines, each of which does one thing that TFX's components do."""

import pathlib
import time
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

Artifacts = dict[str, list[types.Artifact]]


class Copy(base_executor.BaseExecutor):
    """Reads and writes through TFX's file systems, TensorFlow's among them."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Any) -> None:
        model = artifact_utils.get_single_instance(input_dict["model"])
        made = artifact_utils.get_single_instance(output_dict["made"])
        with fileio.open(f"{model.uri}/weights", "r") as file:
            text = file.read()
        with fileio.open(f"{made.uri}/weights", "w") as file:
            file.write(text)


class Count(base_executor.BaseExecutor):
    """Lists its input's folder and writes into its output's, as Python code does."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Any) -> None:
        files = list(pathlib.Path(artifact_utils.get_single_uri(input_dict["model"])).iterdir())
        made = pathlib.Path(artifact_utils.get_single_uri(output_dict["made"]))
        (made / "count").write_text(str(len(files)))


class Bless(base_executor.BaseExecutor):
    """Tells of its input as Evaluator does, and of its run; makes a property without a value."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Any) -> None:
        model = artifact_utils.get_single_instance(input_dict["model"])
        made = artifact_utils.get_single_instance(output_dict["made"])
        made.set_string_custom_property("current_model", model.uri)
        made.set_string_custom_property("run_id", str(self._context.pipeline_run_id))
        made.set_int_custom_property("blessed", exec_properties["blessed"])
        if exec_properties.get("empty"):
            made.mlmd_artifact.custom_properties["empty"].SetInParent()


class Name(base_executor.BaseExecutor):
    """Gives a value, and not a folder."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Any) -> None:
        artifact_utils.get_single_instance(output_dict["made"]).value = "plant"


class Wait(base_executor.BaseExecutor):
    """Waits to be stopped, and clears away what it made."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Any) -> None:
        began = pathlib.Path(artifact_utils.get_single_uri(output_dict["made"])) / "began"
        began.touch()
        try:
            time.sleep(120)
        finally:
            began.unlink()
