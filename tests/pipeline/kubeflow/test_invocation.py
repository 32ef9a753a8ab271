"""What the launcher says, read without TFX."""

import json
from typing import Any

import pytest

from pipeline.kubeflow.container import invocation
from pipeline.kubeflow.container.storage import ROOT, Storage, storage_for

SCHEMA = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
SALT = "0b7e3f6c-3c1e-4c55-9a0d-2f4f1f0f7a11"


def executor_input(output_uri: str, **parameters: Any) -> str:
    made = {"name": "examples", "uri": output_uri, "type": SCHEMA}
    return json.dumps(
        {
            "inputs": {"parameterValues": parameters},
            "outputs": {
                "artifacts": {"examples": {"artifacts": [made]}},
                "outputFile": "gs://bucket/output_metadata.json",
            },
        }
    )


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://bucket/key", "/minio/bucket/key"),
        ("s3://bucket/key", "/s3/bucket/key"),
        ("gs://bucket/key", "/gcs/bucket/key"),
    ],
)
def test_a_uri_has_a_path_and_the_path_the_uri(uri: str, path: str) -> None:
    assert Storage().local(uri) == path
    assert Storage().remote(path) == uri
    assert Storage("/pod").local(uri) == f"/pod{path}"
    assert Storage("/pod").remote(f"/pod{path}") == uri


@pytest.mark.parametrize("value", ["/minio", "/elsewhere/minio/key", "hdfs://host/key", 3, None])
def test_what_is_no_artifacts_place_stays(value: Any) -> None:
    assert Storage().remote(value) == value


def test_distributed_workers_open_cloud_storage_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT, "/pod")
    assert storage_for(["--runner=FnApiRunner"]).local("gs://b/k") == "/pod/gcs/b/k"
    distributed = storage_for(["--runner=DataflowRunner"])
    assert distributed.local("gs://b/k") == "gs://b/k"
    asked = invocation.read(executor_input("gs://b/r/p/run/Task/made"), "{}", distributed)
    assert asked.outputs["examples"].path == "gs://b/r/p/run/Task/made"
    # The file that tells of the outputs is written by this container, wherever Beam works.
    assert asked.output_file == "/pod/gcs/bucket/output_metadata.json"


@pytest.mark.parametrize(
    ("uri", "run", "node"),
    [
        (f"minio://mlpipeline/v2/artifacts/plant/run-1/Trainer/{SALT}/model", "run-1", "Trainer"),
        ("minio://mlpipeline/v2/artifacts/plant/run-1/Trainer/model", "run-1", "Trainer"),
        ("gs://bucket/root/42/plant-20250220/Trainer_-7/model", "plant-20250220", "Trainer_-7"),
    ],
)
def test_run_and_task_are_read_from_where_outputs_go(uri: str, run: str, node: str) -> None:
    asked = invocation.read(executor_input(uri), "{}", Storage())
    assert (asked.run_id, asked.node) == (run, node)


def test_the_run_that_is_told_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "gs://bucket/root/42/plant-20250220/Trainer_-7/model"
    told = invocation.read(executor_input(uri, run_id="987"), "{}", Storage())
    assert told.run_id == "987"
    assert told.parameters == {}
    left = executor_input(uri, run_id="{{$.pipeline_job_uuid}}")
    assert invocation.read(left, "{}", Storage()).run_id == "plant-20250220"


def test_numbers_have_the_type_that_the_specification_says() -> None:
    spec = {
        "parameters": {
            "keep": {"parameterType": "NUMBER_INTEGER"},
            "share": {"parameterType": "NUMBER_DOUBLE"},
            "name": {"parameterType": "STRING"},
        }
    }
    given = executor_input("gs://a/b/c/d/e", keep=5.0, share=1, name="7")
    parameters = invocation.read(given, json.dumps(spec), Storage()).parameters
    assert {k: (v, type(v)) for k, v in parameters.items()} == {
        "keep": (5, int),
        "share": (1.0, float),
        "name": ("7", str),
    }


def test_a_type_that_nobody_tells() -> None:
    given = json.loads(executor_input("minio://a/b/c/d/e"))
    artifact = {"uri": "minio://a/x", "type": {"instanceSchema": ""}}
    given["inputs"]["artifacts"] = {"model": {"artifacts": [artifact]}}
    with pytest.raises(ValueError, match=r"'model' \(minio://a/x\) has no type"):
        invocation.read(json.dumps(given), "{}", Storage())
