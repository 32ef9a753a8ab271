"""Transform's work: TFX's own."""

from typing import Any

from tfx import types
from tfx.components.transform import executor

from components.ingest.batches import fix_batches


class Executor(executor.Executor):
    """TFX's executor, with batches that are the same in each run."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Analyses the training split and transforms all."""
        fix_batches()
        super().Do(input_dict, output_dict, exec_properties)
