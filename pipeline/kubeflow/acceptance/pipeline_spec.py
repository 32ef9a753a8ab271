"""Rules for the PipelineSpec itself, which both backends read."""

import graphlib
import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.kubeflow.acceptance.rules import Candidate, Rule

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?")
# The kernel's MAX_ARG_STRLEN; a URI of an artifact is told with its bucket, run and task.
_ARGUMENT_BYTES, _ARTIFACT_BYTES = 128 << 10, 1 << 10
_KINDS: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


def _strict(candidate: Candidate) -> Iterator[str]:
    try:
        json_format.ParseDict(candidate.spec, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(
            candidate.spec.get("deploymentSpec", {}),
            pipeline_spec_pb2.PipelineDeploymentConfig(),
            ignore_unknown_fields=True,
        )
    except json_format.ParseError as error:
        yield str(error).partition("\n")[0]


def _version(candidate: Candidate) -> Iterator[str]:
    version = candidate.spec.get("schemaVersion")
    if version != "2.1.0":
        yield f"schemaVersion is {version!r}: expected '2.1.0'"


def _name(candidate: Candidate) -> Iterator[str]:
    name = candidate.spec.get("pipelineInfo", {}).get("name", "")
    if not _NAME.fullmatch(name):
        yield f"the pipeline's name is {name!r}: expected up to 128 of a-z, 0-9 and -"


def _tasks(candidate: Candidate) -> Iterator[str]:
    if not candidate.tasks:
        yield "the root has no tasks"
    for name in candidate.tasks:
        label = candidate.component(name).get("executorLabel")
        if label is None:
            yield f"task {name}: no component with an executor"
        elif label not in candidate.executors:
            yield f"task {name}: executor {label!r} is not in the deployment"


def _executors(candidate: Candidate) -> Iterator[str]:
    for label, executor in candidate.executors.items():
        kinds = set(executor) - {"container", "importer"}
        if kinds or not executor:
            kind = ", ".join(sorted(kinds)) or "nothing"
            yield f"executor {label} is {kind}: expected a container or an importer"
        container = executor.get("container", {})
        if "container" in executor and not (container.get("image") and container.get("command")):
            yield f"executor {label} names no image or no command"
        if "lifecycle" in container:
            yield f"executor {label} has a driver of its own, which is never run"


def _parameters(candidate: Candidate) -> Iterator[str]:
    root = candidate.spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, parameter in root.items():
        kind = parameter.get("parameterType")
        if kind not in _KINDS:
            yield f"run parameter {name} is of type {kind!r}: expected one of {', '.join(_KINDS)}"
        elif "defaultValue" not in parameter and not parameter.get("isOptional"):
            yield f"run parameter {name} has no default, which scheduled runs need"
        elif "defaultValue" in parameter and not _is(kind, parameter["defaultValue"]):
            yield f"run parameter {name} has default {parameter['defaultValue']!r}, not a {kind}"


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "BOOLEAN"
    whole = kind != "NUMBER_INTEGER" or not isinstance(value, float) or value.is_integer()
    return isinstance(value, _KINDS[kind]) and whole


def _inputs(candidate: Candidate) -> Iterator[str]:
    root = candidate.spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, task in candidate.tasks.items():
        declared = candidate.component(name).get("inputDefinitions", {})
        given = task.get("inputs", {})
        for group in ("parameters", "artifacts"):
            wanted, has = declared.get(group, {}), given.get(group, {})
            for key in sorted(set(has) - set(wanted)):
                yield f"task {name} is given {key!r}, which its component does not take"
            for key, what in wanted.items():
                if key not in has and not what.get("isOptional") and "defaultValue" not in what:
                    yield f"task {name} is not given {key!r}"
        for key, what in given.get("parameters", {}).items():
            kind = declared.get("parameters", {}).get(key, {}).get("parameterType")
            if "componentInputParameter" in what:
                if what["componentInputParameter"] not in root:
                    yield f"task {name}: there is no run parameter for {key!r}"
            elif "runtimeValue" in what:
                value = what["runtimeValue"].get("constant")
                if kind not in _KINDS or not _is(kind, value):
                    yield f"task {name}: {key!r} is {type(value).__name__}, not of type {kind!r}"
            elif "taskOutputParameter" in what:
                yield from _produced(candidate, name, key, what["taskOutputParameter"], "Parameter")
        for key, what in given.get("artifacts", {}).items():
            source = what.get("taskOutputArtifact", {})
            yield from _produced(candidate, name, key, source, "Artifact")


def _produced(
    candidate: Candidate, task: str, key: str, source: dict[str, str], kind: str
) -> Iterator[str]:
    producer, output = source.get("producerTask", ""), source.get(f"output{kind}Key", "")
    if producer not in candidate.tasks:
        yield f"task {task}: {key!r} comes from task {producer!r}, which there is not"
        return
    made = candidate.component(producer).get("outputDefinitions", {})
    if output not in made.get(f"{kind.lower()}s", {}):
        yield f"task {task}: {key!r} comes from {producer}, which makes no {output!r}"
    if producer not in candidate.tasks[task].get("dependentTasks", []):
        yield f"task {task} takes from {producer} and does not wait for it"


def _order(candidate: Candidate) -> Iterator[str]:
    graph = {name: set(t.get("dependentTasks", [])) for name, t in candidate.tasks.items()}
    for name, before in graph.items():
        for missing in sorted(before - set(graph)):
            yield f"task {name} waits for {missing!r}, which there is not"
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield f"tasks wait for each other: {' → '.join(error.args[1])}"


def _types(candidate: Candidate) -> Iterator[str]:
    for name, component in candidate.spec.get("components", {}).items():
        for group in ("inputDefinitions", "outputDefinitions"):
            for key, artifact in component.get(group, {}).get("artifacts", {}).items():
                schema = artifact.get("artifactType", {})
                title, properties = schema.get("schemaTitle", ""), None
                if "instanceSchema" in schema:
                    told = yaml.safe_load(schema["instanceSchema"])
                    title = told.get("title", "") if isinstance(told, dict) else ""
                    properties = told.get("properties") if title else None
                if not title:
                    yield f"component {name}: artifact {key!r} has a type without a title"
                elif properties and not title.startswith(("tfx.", "system.", "google.")):
                    yield f"component {name}: type {title} of {key!r} has properties of its own"


def _arguments(candidate: Candidate) -> Iterator[str]:
    for name, task in candidate.tasks.items():
        component, given = candidate.component(name), task.get("inputs", {})
        artifacts = len(given.get("artifacts", {})) + len(
            component.get("outputDefinitions", {}).get("artifacts", {})
        )
        parameters = len(json.dumps(given.get("parameters", {})).encode())
        container = candidate.containers.get(component.get("executorLabel", ""), {})
        sizes = {
            "its parameters and artifacts (the executor input)": parameters
            + artifacts * _ARTIFACT_BYTES,
            "its component's specification": len(json.dumps(component).encode()),
            **{f"argument {a[:40]!r}": len(a.encode()) for a in container.get("args", [])},
        }
        for what, size in sizes.items():
            if size > _ARGUMENT_BYTES:
                yield (
                    f"task {name}: {what} takes about {size >> 10} KiB, of 128 KiB for one "
                    "argument of a process: shorten queries, or lists of features"
                )


RULES = (
    Rule(
        "strict PipelineSpec",
        "backend/src/apiserver/template/v2_template.go, NewV2SpecTemplate: protojson refuses "
        "fields that it does not know",
        _strict,
    ),
    Rule("schema version", "v2_template.go, SCHEMA_VERSION_2_1_0", _version),
    Rule("pipeline name", "v2_template.go; TFX's pipeline_builder._check_name", _name),
    Rule("tasks", "backend/src/v2/compiler/visitor.go, dfs", _tasks),
    Rule(
        "executors",
        "visitor.go: only containers and importers are implemented; tensorflow/tfx#6722",
        _executors,
    ),
    Rule("run parameters", "v2_template.go, validatePipelineJobInputs", _parameters),
    Rule("inputs", "backend/src/v2/driver/resolve.go, resolveInputs", _inputs),
    Rule("order", "Argo Workflows, workflow/validate: DAG tasks", _order),
    Rule(
        "artifact types",
        "backend/src/v2/metadata/client.go, SchemaToArtifactType; TFX's "
        "compiler_utils._validate_properties_schema",
        _types,
    ),
    Rule("argument size", "execve(2): MAX_ARG_STRLEN", _arguments),
)
