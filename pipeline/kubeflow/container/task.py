"""Runs one task: TFX's executor between the launcher's description of the inputs and outputs."""

import json
import pathlib
from typing import Any

from tfx.dsl.components.base import base_beam_executor, base_executor
from tfx.utils import import_utils

from pipeline.kubeflow.container import artifacts
from pipeline.kubeflow.container.invocation import Invocation
from pipeline.kubeflow.container.storage import Storage


def run(executor: str, invocation: Invocation, storage: Storage, beam_args: list[str]) -> None:
    """Runs an executor and writes what became of its outputs.

    Args:
      executor: where its class is imported from.
      invocation: what the launcher asks.
      storage: where the artifacts lie.
      beam_args: Beam's arguments.
    """
    inputs = {
        key: [artifacts.to_tfx(described) for described in group]
        for key, group in invocation.inputs.items()
    }
    outputs = {key: [artifacts.to_tfx(one)] for key, one in invocation.outputs.items()}
    artifacts.prepare_inputs(inputs)
    artifacts.prepare_outputs(outputs)
    output_file = pathlib.Path(invocation.output_file)
    context: dict[str, Any] = {
        "tmp_dir": str(output_file.parent / ".temp"),
        "unique_id": invocation.node,
        "pipeline_run_id": invocation.run_id,
    }
    cls = import_utils.import_class_by_path(executor)
    if issubclass(cls, base_beam_executor.BaseBeamExecutor):
        made = cls(cls.Context(beam_pipeline_args=[*beam_args], **context))
    else:
        made = cls(base_executor.BaseExecutor.Context(extra_flags=beam_args, **context))
    made.Do(inputs, outputs, invocation.parameters)
    told = artifacts.executor_output(outputs, invocation.outputs, storage)
    output_file.parent.mkdir(parents=True, exist_ok=True)
    output_file.write_text(json.dumps(told), encoding="utf-8")
