"""Trainer's work: TFX's own, or a job for workers."""

import os
import pathlib
import shutil
from typing import Any

import attr
from tfx import types
from tfx.components.trainer import executor
from tfx.components.util import tfxio_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs as specs
from tfx.utils import json_utils

from components.distributed_trainer.launch.job import TrainingFailed, make_job
from components.distributed_trainer.launch.launcher import launcher
from components.distributed_trainer.settings import LAUNCH, Launch

WORKERS = "workers"
"""The key of ``custom_config`` that says how many workers train; `settings.LAUNCH` says where."""


class Executor(executor.GenericExecutor):
    """Calls ``run_fn`` in this process, or launches workers that call it."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the model and the run's logs.

        Raises:
          TrainingFailed: if workers made no model.
        """
        custom_config = json_utils.loads(exec_properties.get(specs.CUSTOM_CONFIG_KEY) or "null")
        if WORKERS not in (custom_config or {}):
            super().Do(input_dict, output_dict, exec_properties)
            return
        self._log_startup(input_dict, output_dict, exec_properties)
        arguments = attr.asdict(
            self._GetFnArgs(input_dict, output_dict, exec_properties),
            recurse=False,
            filter=lambda field, value: field.name != "data_accessor",
        )
        del arguments["custom_config"][WORKERS]
        launch = Launch.model_validate_json(os.environ[LAUNCH])
        payload, _ = tfxio_utils.resolve_payload_format_and_data_view_uri(
            input_dict[specs.EXAMPLES_KEY]
        )
        job = make_job(
            exec_properties[specs.RUN_FN_KEY],
            arguments,
            example_gen_pb2.PayloadFormat.Name(payload),
            pathlib.Path(launch.directory).absolute(),
            getattr(self._context, "pipeline_run_id", None) or "",
        )
        launcher(launch).run(job)
        model = arguments["serving_model_dir"]
        if not fileio.exists(model):
            raise TrainingFailed(
                f"all workers ended well, but {job.run_fn} left no model in {model}"
            )
        # Workers elsewhere may still be ending, and hold files of theirs.
        shutil.rmtree(job.scratch, ignore_errors=True)
