"""Each rule of the backends takes a sound package and refuses one that breaks it."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from pipeline.kubeflow.acceptance import RULES, NotAcceptedError, check_accepted

SCHEMA = "title: tfx.Examples\ntype: object\nproperties:\n  span:\n    type: integer\n"


def component(name: str, **inputs: Any) -> dict[str, Any]:
    output = {"artifacts": {"examples": {"artifactType": {"instanceSchema": SCHEMA}}}}
    return {
        "executorLabel": f"{name}_executor",
        "inputDefinitions": inputs,
        "outputDefinitions": output,
    }


def executor() -> dict[str, Any]:
    return {
        "container": {
            "image": "registry.example/plant",
            "command": ["python", "-m", "pipeline.kubeflow.entrypoint"],
            "args": ["--json_serialized_invocation_args", "{{$}}"],
            "env": [{"name": "LEVEL", "value": "1"}],
            "resources": {"accelerator": {"type": "nvidia.com/gpu", "count": "1"}},
        }
    }


def sound() -> dict[str, Any]:
    """Two tasks, the second of which takes the first's examples."""
    text = {"parameterType": "STRING"}
    read = component("Read", parameters={"as_of": text, "run_id": text})
    join = component(
        "Join",
        parameters={"spine": {"parameterType": "NUMBER_INTEGER"}},
        artifacts={"examples": {"artifactType": {"instanceSchema": SCHEMA}}},
    )
    read_task = {
        "componentRef": {"name": "Read"},
        "taskInfo": {"name": "Read"},
        "inputs": {
            "parameters": {
                "as_of": {"componentInputParameter": "as_of"},
                "run_id": {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}},
            }
        },
    }
    join_task = {
        "componentRef": {"name": "Join"},
        "taskInfo": {"name": "Join"},
        "dependentTasks": ["Read"],
        "inputs": {
            "parameters": {"spine": {"runtimeValue": {"constant": 1.0}}},
            "artifacts": {
                "examples": {
                    "taskOutputArtifact": {
                        "producerTask": "Read",
                        "outputArtifactKey": "examples",
                    }
                }
            },
        },
    }
    spec = {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "plant"},
        "root": {
            "inputDefinitions": {"parameters": {"as_of": {**text, "defaultValue": "now"}}},
            "dag": {"tasks": {"Read": read_task, "Join": join_task}},
        },
        "components": {"Read": read, "Join": join},
        "deploymentSpec": {"executors": {"Read_executor": executor(), "Join_executor": executor()}},
    }
    pod = {
        "secretAsEnv": [
            {"secretName": "plant-db", "keyToEnv": [{"secretKey": "url", "envVar": "PLANT_DB_URL"}]}
        ],
        "pvcMount": [{"constant": "plant", "mountPath": "/mnt/plant", "subPath": "a"}],
        "nodeSelector": {"labels": {"cloud.example/pool": "batch"}},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }
    return {
        "spec": spec,
        "platform": {
            "platforms": {"kubernetes": {"deploymentSpec": {"executors": {"Read_executor": pod}}}}
        },
    }


def sound_job() -> dict[str, Any]:
    spec = sound()["spec"]
    for found in spec["deploymentSpec"]["executors"].values():
        found["container"]["resources"]["accelerator"]["type"] = "NVIDIA_L4"
    return {
        "displayName": "plant",
        "labels": {"tfx_runner": "kubeflow_v2"},
        "runtimeConfig": {
            "gcsOutputDirectory": "gs://plant/pipeline",
            "parameterValues": {"as_of": "now"},
        },
        "pipelineSpec": spec,
    }


def at(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change: sets a place; takes it away where the value is None."""

    def change(package: dict[str, Any]) -> None:
        block: Any = package
        for key in path[:-1]:
            block = block[key]
        if value is None:
            del block[path[-1]]
        else:
            block[path[-1]] = value

    return change


def renamed(name: str) -> Callable[[dict[str, Any]], None]:
    """Calls the last task otherwise."""

    def change(package: dict[str, Any]) -> None:
        tasks = package["spec"]["root"]["dag"]["tasks"]
        tasks[name] = tasks.pop("Join")

    return change


TASKS = ("spec", "root", "dag", "tasks")
PARAMETERS = ("spec", "root", "inputDefinitions", "parameters")
READ_INPUTS = (*TASKS, "Read", "inputs", "parameters")
FROM = (*TASKS, "Join", "inputs", "artifacts", "examples", "taskOutputArtifact")
CONTAINER = ("spec", "deploymentSpec", "executors", "Read_executor", "container")
POD = ("platform", "platforms", "kubernetes", "deploymentSpec", "executors", "Read_executor")
TYPE = ("spec", "components", "Read", "outputDefinitions", "artifacts", "examples", "artifactType")

BROKEN_ON_KFP = [
    ("strict PipelineSpec", at("spec", "notes", value="x")),
    ("strict PipelineSpec", at(*TASKS, "Read", "retryPolicy", value={"backoffDuration": "30"})),
    ("schema version", at("spec", "schemaVersion", value="2.0.0")),
    ("pipeline name", at("spec", "pipelineInfo", "name", value="Plant")),
    ("pipeline name", at("spec", "pipelineInfo", "name", value="a" * 129)),
    ("tasks", at("spec", "root", "dag", "tasks", value={})),
    ("tasks", at(*TASKS, "Read", "componentRef", "name", value="Write")),
    ("tasks", at("spec", "deploymentSpec", "executors", "Read_executor", value=None)),
    ("executors", at("spec", "deploymentSpec", "executors", "Read_executor", value={})),
    (
        "executors",
        at(
            "spec",
            "deploymentSpec",
            "executors",
            "Read_executor",
            value={"resolver": {"outputArtifactQueries": {"model": {"filter": "x"}}}},
        ),
    ),
    ("executors", at(*CONTAINER, "command", value=None)),
    ("executors", at(*CONTAINER, "lifecycle", value={"preCacheCheck": {"command": ["x"]}})),
    ("run parameters", at(*PARAMETERS, "as_of", "defaultValue", value=None)),
    ("run parameters", at(*PARAMETERS, "as_of", "defaultValue", value=7)),
    ("run parameters", at(*PARAMETERS, "as_of", value={"type": "STRING", "defaultValue": "now"})),
    ("inputs", at(*READ_INPUTS, "as_of", "componentInputParameter", value="when")),
    ("inputs", at(*READ_INPUTS, "as_of", value=None)),
    ("inputs", at(*READ_INPUTS, "more", value={"runtimeValue": {"constant": "x"}})),
    ("inputs", at(*READ_INPUTS, "run_id", value={"runtimeValue": {"constant": 7.0}})),
    ("inputs", at(*FROM, "producerTask", value="Read_task")),
    ("inputs", at(*FROM, "outputArtifactKey", value="model")),
    ("inputs", at(*TASKS, "Join", "dependentTasks", value=None)),
    ("order", at(*TASKS, "Read", "dependentTasks", value=["Join"])),
    ("order", at(*TASKS, "Read", "dependentTasks", value=["Gone"])),
    ("artifact types", at(*TYPE, value={"instanceSchema": "type: object\n"})),
    (
        "artifact types",
        at(*TYPE, "instanceSchema", value=SCHEMA.replace("tfx.Examples", "components.Report")),
    ),
    ("argument size", at(*READ_INPUTS, "run_id", "runtimeValue", "constant", value="q" * 131_000)),
    ("argument size", at(*CONTAINER, "args", value=["x" * (128 << 10) + "y"])),
    ("documents", at("platform", value={"platforms": {"vertex": {}}})),
    ("documents", at("platform", value={"platform": {"kubernetes": {}}})),
    ("task ids", renamed("Join_2")),
    ("task ids", renamed("J" * 122)),
    ("task ids", renamed("Read-driver")),
    ("task ids", renamed("root")),
    ("braces", at(*READ_INPUTS, "run_id", "runtimeValue", "constant", value="{{workflow.uid}}")),
    ("braces", at(*CONTAINER, "args", value=["--name={{workflow.name}}"])),
    ("braces", at(*CONTAINER, "env", 0, "value", value="{{pod.name}}")),
    ("workflow size", at("spec", "sdkVersion", value="v" * (1 << 20))),
    ("pod fields", at(*POD, "securityContext", value={"runAsUser": 1})),
    ("pod fields", at(*POD, "pvcMount", 0, "pvcNameParameter", value={})),
    ("pod fields", at(*POD[:-1], "Gone_executor", value={})),
    ("pod names", at(*POD, "secretAsEnv", 0, "secretName", value="Plant_DB")),
    ("pod names", at(*POD, "secretAsEnv", 0, "keyToEnv", 0, "secretKey", value="a/b")),
    ("pod names", at(*POD, "pvcMount", 0, "constant", value="c" * 64)),
    ("pod names", at(*POD, "pvcMount", 0, "mountPath", value="mnt")),
    ("pod names", at(*POD, "pvcMount", 0, "subPath", value="../b")),
    ("pod names", at(*POD, "nodeSelector", "labels", value={"pool": "two words"})),
    ("environment", at(*CONTAINER, "env", value=[{"name": "PLANT_DB_URL", "value": "x"}])),
    ("environment", at(*CONTAINER, "env", value=[{"name": "2ND", "value": "x"}])),
    ("accelerator", at(*CONTAINER, "resources", "accelerator", "type", value="NVIDIA_L4")),
]
VERTEX_CONTAINER = ("pipelineSpec", *CONTAINER[1:])
BROKEN_ON_VERTEX = [
    ("job", at("platforms", value={})),
    ("job", at("displayName", value="d" * 129)),
    ("labels", at("labels", value={"Runner": "tfx"})),
    ("labels", at("labels", value={f"label{i}": "" for i in range(65)})),
    ("bucket", at("runtimeConfig", "gcsOutputDirectory", value="minio://plant")),
    ("run values", at("runtimeConfig", "parameterValues", value={"epochs": 3})),
    ("run values", at("runtimeConfig", "parameters", value={"as_of": {"stringValue": "now"}})),
    (
        "accelerator type",
        at(*VERTEX_CONTAINER, "resources", "accelerator", "type", value="nvidia.com/gpu"),
    ),
    ("schema version", at("pipelineSpec", "schemaVersion", value="2.0.0")),
]


def text_of(package: dict[str, Any]) -> str:
    return yaml.safe_dump_all([package["spec"], package["platform"]])


def test_a_sound_package_is_taken():
    check_accepted("kfp", text_of(sound()))
    check_accepted("kfp", yaml.safe_dump(sound()["spec"]))
    check_accepted("vertex", json.dumps(sound_job()))


@pytest.mark.parametrize(("rule", "change"), BROKEN_ON_KFP, ids=lambda v: v if str(v) == v else "")
def test_kubeflow_would_refuse(rule, change):
    package = copy.deepcopy(sound())
    change(package)
    with pytest.raises(NotAcceptedError, match="Kubeflow Pipelines would refuse") as caught:
        check_accepted("kfp", text_of(package))
    assert rule in caught.value.rules, str(caught.value)


@pytest.mark.parametrize(
    ("rule", "change"), BROKEN_ON_VERTEX, ids=lambda v: v if str(v) == v else ""
)
def test_vertex_would_refuse(rule, change):
    job = sound_job()
    change(job)
    with pytest.raises(NotAcceptedError, match="Vertex AI would refuse") as caught:
        check_accepted("vertex", json.dumps(job))
    assert rule in caught.value.rules, str(caught.value)


def test_a_third_document_is_refused():
    package = sound()
    documents = [package["spec"], package["platform"], package["platform"]]
    with pytest.raises(NotAcceptedError, match="there are 3 YAML documents"):
        check_accepted("kfp", yaml.safe_dump_all(documents))


def test_every_rule_is_seen_broken():
    assert {rule.name for rule in RULES} == {name for name, _ in BROKEN_ON_KFP + BROKEN_ON_VERTEX}


def test_a_refusal_tells_the_rules_source():
    package = sound()
    package["spec"]["schemaVersion"] = "2.0.0"
    with pytest.raises(NotAcceptedError, match=r"schemaVersion is '2\.0\.0'.*v2_template\.go"):
        check_accepted("kfp", text_of(package))
