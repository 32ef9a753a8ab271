"""The stand-in for Kubeflow's driver and launcher, with commands that need no TFX."""

import json
import pathlib
from typing import Any

import pytest

from pipeline.kubeflow.container.storage import ROOT
from tests.pipeline.kubeflow.launcher.cluster import Cluster

TYPE = {"artifactType": {"instanceSchema": "title: tfx.Model\n"}}


def component(name: str, **inputs: Any) -> dict[str, Any]:
    return {
        "executorLabel": f"{name}_executor",
        "inputDefinitions": inputs,
        "outputDefinitions": {"artifacts": {"made": TYPE}},
    }


SPEC: dict[str, Any] = {
    "pipelineInfo": {"name": "plant"},
    "root": {
        "inputDefinitions": {
            "parameters": {"as_of": {"parameterType": "STRING", "defaultValue": "now"}}
        },
        "dag": {
            "tasks": {
                "First": {
                    "componentRef": {"name": "First"},
                    "inputs": {"parameters": {"as_of": {"componentInputParameter": "as_of"}}},
                    "cachingOptions": {"enableCache": True},
                    "retryPolicy": {"maxRetryCount": 1},
                },
                "Second": {
                    "componentRef": {"name": "Second"},
                    "dependentTasks": ["First"],
                    "inputs": {
                        "artifacts": {
                            "model": {
                                "taskOutputArtifact": {
                                    "producerTask": "First",
                                    "outputArtifactKey": "made",
                                }
                            }
                        }
                    },
                },
            }
        },
    },
    "components": {
        "First": component("First", parameters={"as_of": {"parameterType": "STRING"}}),
        "Second": component("Second", artifacts={"model": TYPE}),
    },
    "deploymentSpec": {
        "executors": {
            f"{name}_executor": {
                "container": {"image": "plant", "command": ["python"], "args": [name, "{{$}}"]}
            }
            for name in ("First", "Second")
        }
    },
}


class Commands:
    """Stands for the tasks: First writes a file beside an empty folder, Second looks at it."""

    def __init__(self) -> None:
        self.failing = 0
        self.metadata: dict[str, Any] = {}
        self.inputs: list[dict[str, Any]] = []
        self.seen: list[list[str]] = []

    def __call__(self, argv: list[str], environment: dict[str, str], log: pathlib.Path) -> int:
        log.write_text("a word")
        _python, name, text = argv
        asked = json.loads(text)
        pod = environment[ROOT]
        self.inputs.append(asked["inputs"])
        if self.failing:
            self.failing -= 1
            return 1
        made = asked["outputs"]["artifacts"]["made"]["artifacts"][0]
        folder = pathlib.Path(pod) / made["uri"].replace("://", "/")
        if name == "First":
            assert not folder.exists()
            (folder / "empty").mkdir(parents=True)
            (folder / "weights").touch()
            told = {"artifacts": {"made": {"artifacts": [{"metadata": self.metadata}]}}}
            pathlib.Path(asked["outputs"]["outputFile"]).write_text(json.dumps(told))
        else:
            model = asked["inputs"]["artifacts"]["model"]["artifacts"][0]
            files = (pathlib.Path(pod) / model["uri"].replace("://", "/")).rglob("*")
            self.seen.append([file.name for file in files])
        return 0


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def cluster(tmp_path: pathlib.Path, commands: Commands) -> Cluster:
    return Cluster(tmp_path, commands, {}, {})


def test_outputs_come_as_inputs_without_types_and_empty_folders(
    cluster: Cluster, commands: Commands
) -> None:
    commands.metadata = {"span": 3, "splits": ["a"]}
    run = cluster.run(SPEC, {}, "minio://bucket/root", {})
    assert run.states("done") == {"First", "Second"}
    assert commands.seen == [["weights"]]
    first, second = commands.inputs
    assert first["parameterValues"] == {"as_of": "now"}
    (model,) = second["artifacts"]["model"]["artifacts"]
    assert model["type"] == {"instanceSchema": ""}
    assert (model["metadata"]["span"], model["metadata"]["splits"]) == (3, {"list": ["a"]})
    assert model["uri"].startswith(f"minio://bucket/root/plant/{run.run_id}/First/")


def test_what_is_cached_is_not_run(cluster: Cluster, commands: Commands) -> None:
    cluster.run(SPEC, {}, "minio://bucket/root", {})
    assert cluster.run(SPEC, {}, "minio://bucket/root", {}).states("cached") == {"First"}
    assert len(commands.inputs) == 3
    again = cluster.run(SPEC, {}, "minio://bucket/root", {"as_of": "2025-02-20"})
    assert again.states("cached") == set()


def test_a_task_is_tried_again_in_a_new_pod(cluster: Cluster, commands: Commands) -> None:
    commands.failing = 1
    assert cluster.run(SPEC, {}, "minio://bucket/root", {}).states("failed") == set()
    commands.failing = 2
    run = cluster.run(SPEC, {}, "minio://bucket/root", {"as_of": "2025-02-20"})
    assert (run.states("failed"), run.states("omitted")) == ({"First"}, {"Second"})
    assert run.tasks["First"].printed == "a word"


def test_null_is_no_metadata(cluster: Cluster, commands: Commands) -> None:
    commands.metadata = {"span": None}
    with pytest.raises(ValueError, match="NullValue"):
        cluster.run(SPEC, {}, "minio://bucket/root", {})


def test_parameters_are_the_pipelines(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="asof"):
        cluster.run(SPEC, {}, "minio://bucket/root", {"asof": "2025-02-20"})
