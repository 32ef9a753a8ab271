"""What the launcher of Kubeflow Pipelines does in a task's pod: around the task's own command.

It follows kubeflow/pipelines 2.17, ``backend/src/v2/component/launcher_v2.go``; the functions are
named where they are followed.
"""

import copy
import json
import os
import pathlib
import sys
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.kubeflow.container import storage
from tests.pipeline.kubeflow.launcher.bucket import Bucket
from tests.pipeline.kubeflow.launcher.command import RunCommand
from tests.pipeline.kubeflow.launcher.driver import local_path
from tests.pipeline.kubeflow.launcher.metadata import MetadataStore

LOGS = "executor-logs"
LONGEST_ARGUMENT = 128 * 1024
"""MAX_ARG_STRLEN of Linux."""


def launch(
    executor_input: dict[str, Any],
    component: dict[str, Any],
    container: dict[str, Any],
    environment: dict[str, str],
    pod: pathlib.Path,
    bucket: Bucket,
    store: MetadataStore,
    run_command: RunCommand,
) -> tuple[int, dict[str, int]]:
    """Downloads the inputs, runs the command, merges what it tells and uploads the outputs.

    As ``executeV2`` and ``execute``.

    Args:
      executor_input: as the driver made it.
      component: the task's ComponentSpec.
      container: its PipelineContainerSpec.
      environment: its environment, with the secrets.
      pod: the folder that stands for the pod's ``/``.
      bucket: the object store.
      store: the artifacts.
      run_command: runs the command.

    Returns:
      The command's exit code, and the outputs' ids by key.

    Raises:
      json_format.ParseError: if the launcher would not take what the command tells.
      ValueError: if ML Metadata would not.
    """
    argv = compile_arguments(executor_input, component, container)
    for given in executor_input["inputs"]["artifacts"].values():
        for artifact in given["artifacts"]:
            bucket.download(artifact["uri"], _in_pod(pod, artifact["uri"]))
    outputs = {k: copy.deepcopy(a["artifacts"][0]) for k, a in _outputs(executor_input).items()}
    for artifact in outputs.values():
        _in_pod(pod, artifact["uri"]).parent.mkdir(parents=True, exist_ok=True)
    logs = _in_pod(pod, outputs[LOGS]["uri"])
    code = run_command(argv, environment | {storage.ROOT: str(pod)}, logs)
    if code:
        # Of a task that failed, only the logs are kept.
        outputs = {LOGS: outputs[LOGS]}
    else:
        _merge(pathlib.Path(executor_input["outputs"]["outputFile"]), outputs)
    identifiers = {}
    for key, artifact in outputs.items():
        # A component need not make its outputs.
        if _in_pod(pod, artifact["uri"]).exists():
            bucket.upload(_in_pod(pod, artifact["uri"]), artifact["uri"])
        identifiers[key] = store.record(key, artifact)
    return code, identifiers


def compile_arguments(
    executor_input: dict[str, Any], component: dict[str, Any], container: dict[str, Any]
) -> list[str]:
    """The command line (``addDefaultParams``, ``compileCmdAndArgs``).

    Raises:
      ValueError: if Linux would not take it.
    """
    filled = copy.deepcopy(executor_input)
    values = filled["inputs"]["parameterValues"]
    for name, spec in component.get("inputDefinitions", {}).get("parameters", {}).items():
        if "defaultValue" in spec:
            values.setdefault(name, spec["defaultValue"])
    # The launcher holds a message, not a dictionary: what is no field of it is refused.
    json_format.ParseDict(filled, pipeline_spec_pb2.ExecutorInput())
    replaced = {"{{$}}": json.dumps(filled)}
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        replaced[f"{{{{$.inputs.parameters['{name}']}}}}"] = text
    for side in ("inputs", "outputs"):
        for name, given in filled[side]["artifacts"].items():
            uri = given["artifacts"][0]["uri"]
            replaced[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = uri
            replaced[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = local_path(uri)
    arguments = []
    for argument in container["args"]:
        for placeholder, text in replaced.items():
            argument = argument.replace(placeholder, text)
        if len(argument.encode()) >= LONGEST_ARGUMENT:
            raise ValueError(f"fork/exec: argument list too long: {argument[:80]} …")
        arguments.append(argument)
    command, *rest = container["command"]
    return [sys.executable if command == "python" else command, *rest, *arguments]


def _merge(output_file: pathlib.Path, outputs: dict[str, dict[str, Any]]) -> None:
    """``getExecutorOutputFile`` and ``mergeRuntimeArtifacts``; without a file nothing is told."""
    if not output_file.exists():
        return
    told = json.loads(output_file.read_text())
    json_format.ParseDict(told, pipeline_spec_pb2.ExecutorOutput())
    for key, given in told.get("artifacts", {}).items():
        if key in outputs and key != LOGS and given["artifacts"]:
            artifact = given["artifacts"][0]
            outputs[key]["uri"] = artifact.get("uri") or outputs[key]["uri"]
            outputs[key]["metadata"] = outputs[key].get("metadata", {}) | artifact.get(
                "metadata", {}
            )


def _outputs(executor_input: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = executor_input["outputs"]["artifacts"]
    return found


def _in_pod(pod: pathlib.Path, uri: str) -> pathlib.Path:
    return pathlib.Path(f"{pod}{os.sep}{local_path(uri).lstrip('/')}")
