"""CuratedSchema's work: read, check, copy."""

import pathlib
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.curated_schema.schema_file import hand_on


class Executor(base_executor.BaseExecutor):
    """Copies the curated schema into the artifact, if it is one."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes ``schema.pbtxt``; see `components.curated_schema.schema_file.hand_on`."""
        self._log_startup(input_dict, output_dict, exec_properties)
        uri = artifact_utils.get_single_uri(output_dict["schema"])
        hand_on(pathlib.Path(exec_properties["schema_file"]), pathlib.Path(uri))
