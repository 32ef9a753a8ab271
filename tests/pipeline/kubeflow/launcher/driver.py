"""What the driver of Kubeflow Pipelines settles before a task's pod starts.

It follows kubeflow/pipelines 2.17, ``backend/src/v2/driver``; the functions are named where they
are followed. Specs and messages are dictionaries in proto3 JSON.
"""

import dataclasses
import hashlib
import json
import pathlib
import uuid
from typing import Any

from tests.pipeline.kubeflow.launcher.metadata import MetadataStore

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a package.

    Attributes:
      run_id: its id.
      root: the URI below which its artifacts lie.
      parameters: the run's parameters, defaults among them.
      created: when it was created, ISO 8601.
      outputs: by task that is done, by output, the artifact's id.
    """

    run_id: str
    root: str
    parameters: dict[str, Any]
    created: str
    outputs: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)


def local_path(uri: str) -> str:
    """``LocalPathForURI``, ``component/launcher_v2.go``, in a pod's file system."""
    for scheme, folder in (("gs://", "/gcs/"), ("minio://", "/minio/"), ("s3://", "/s3/")):
        if uri.startswith(scheme):
            return folder + uri.removeprefix(scheme)
    raise ValueError(f"failed to generate local path for URI {uri}: unsupported storage scheme")


def root_parameters(spec: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The run's parameters (``RootDAG``, ``root_dag.go``).

    Raises:
      ValueError: if one is given that the pipeline does not have, or is missing.
    """
    known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    unknown = given.keys() - known.keys()
    if unknown:
        raise ValueError(f"parameters {sorted(unknown)} not found in the pipeline")
    values = {k: p["defaultValue"] for k, p in known.items() if "defaultValue" in p} | given
    missing = known.keys() - values.keys()
    if missing:
        raise ValueError(f"parameters {sorted(missing)} are required")
    return values


def executor_input(
    task_name: str,
    task: dict[str, Any],
    component: dict[str, Any],
    run: Run,
    store: MetadataStore,
    pod: pathlib.Path,
) -> dict[str, Any]:
    """ExecutorInput of a task (``Container``, ``container.go``).

    Args:
      task_name: its key among the tasks.
      task: its PipelineTaskSpec.
      component: its ComponentSpec.
      run: the run, in which all that it depends on is done.
      store: the artifacts.
      pod: the folder that stands for the pod's ``/``.
    """
    return {
        "inputs": {
            "parameterValues": _parameters(task_name, task, component, run),
            "artifacts": {
                key: {"artifacts": [store.runtime_artifact(_producer(given, run))]}
                for key, given in task.get("inputs", {}).get("artifacts", {}).items()
            },
        },
        "outputs": provision_outputs(task_name, component, run, pod),
    }


def provision_outputs(
    task_name: str, component: dict[str, Any], run: Run, pod: pathlib.Path
) -> dict[str, Any]:
    """``provisionOutputs``, ``driver.go``, with logs published, as is the default."""
    task_root = f"{run.root}/{task_name}/{uuid.uuid4()}"
    definitions = component.get("outputDefinitions", {})
    if definitions.get("parameters"):
        raise NotImplementedError("output parameters")
    types = {k: a["artifactType"] for k, a in definitions.get("artifacts", {}).items()}
    types["executor-logs"] = {"schemaTitle": "system.Artifact"}
    return {
        "artifacts": {
            key: {"artifacts": [{"name": key, "uri": f"{task_root}/{key}", "type": kind}]}
            for key, kind in types.items()
        },
        "outputFile": f"{pod}{local_path(task_root)}/output_metadata.json",
    }


def fingerprint(
    executor_input: dict[str, Any], container: dict[str, Any], claims: list[str]
) -> str:
    """The cache's key (``GenerateCacheKey``, ``cacheutils/cache.go``).

    Inputs count by their artifacts' ids, outputs by their types.
    """
    key = {
        "inputArtifactNames": {
            name: [artifact["name"] for artifact in given["artifacts"]]
            for name, given in executor_input["inputs"]["artifacts"].items()
        },
        "inputParameterValues": executor_input["inputs"]["parameterValues"],
        "outputArtifactsSpec": {
            name: {k: v for k, v in given["artifacts"][0].items() if k != "uri"}
            for name, given in executor_input["outputs"]["artifacts"].items()
        },
        "containerSpec": {
            "image": container["image"],
            "cmdArgs": [*container["command"], *container["args"]],
            "pvcNames": sorted(set(claims)),
        },
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _producer(given: dict[str, Any], run: Run) -> int:
    """``resolveUpstreamArtifacts``, ``resolve.go``; an output that is not there fails the task."""
    source = given["taskOutputArtifact"]
    return run.outputs[source["producerTask"]][source["outputArtifactKey"]]


def _parameters(
    task_name: str, task: dict[str, Any], component: dict[str, Any], run: Run
) -> dict[str, Any]:
    """``resolveInputParameter`` and ``handleParamTypeValidationAndConversion``, ``resolve.go``."""
    constants = {
        "{{$.pipeline_job_name}}": "a run",
        "{{$.pipeline_job_resource_name}}": f"a-run-{run.run_id[:5]}",
        "{{$.pipeline_job_uuid}}": run.run_id,
        "{{$.pipeline_task_name}}": task_name,
        "{{$.pipeline_job_create_time_utc}}": run.created,
    }
    values: dict[str, Any] = {}
    for name, given in task.get("inputs", {}).get("parameters", {}).items():
        if "componentInputParameter" in given:
            values[name] = run.parameters[given["componentInputParameter"]]
        else:
            constant = given["runtimeValue"]["constant"]
            values[name] = (
                constants.get(constant, constant) if isinstance(constant, str) else constant
            )
    for name, spec in component.get("inputDefinitions", {}).get("parameters", {}).items():
        if name not in values:
            if not spec.get("isOptional") and "defaultValue" not in spec:
                raise ValueError(
                    f"neither value nor default value provided for non-optional parameter {name!r}"
                )
            continue
        kind = spec["parameterType"]
        if kind == "STRING" and not isinstance(values[name], str):
            values[name] = json.dumps(values[name])
        elif not isinstance(values[name], JSON_TYPES[kind]):
            raise ValueError(f"input parameter {name!r} type mismatch: expect {kind}")
    return values
