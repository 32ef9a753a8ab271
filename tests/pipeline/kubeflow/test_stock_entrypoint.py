"""What TFX's own entrypoint does under Kubeflow's launcher, beside what ours does.

A test that fails for TFX's means that TFX was repaired, and that a cure of ours can go.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from pipeline.kubeflow.container import invocation, storage
from tests.pipeline.kubeflow.launcher import driver
from tests.pipeline.kubeflow.launcher.metadata import MetadataStore

pytestmark = pytest.mark.tfx

EXECUTORS = "tests.pipeline.kubeflow.launcher.executors"
MODEL = "title: tfx.Model\ntype: object\n"
MODEL_URI = "minio://bucket/models/1"
SPEC = {
    "artifacts": {"model": {"artifactType": {"instanceSchema": MODEL}}},
    "parameters": {"blessed": {"parameterType": "NUMBER_INTEGER"}},
}


class Case:
    """A task with one model in, one artifact out and the parameter ``blessed``.

    What is wrong for TFX's entrypoint is all mended by hand at first; a test takes one thing back.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.pod = folder / "pod"
        self.model = self.pod / "minio/bucket/models/1"
        self.made = self.pod / "minio/root/plant/run-7/Task/made"
        self.output_file = folder / "output_metadata.json"
        for parent in (self.model, self.made.parent):
            parent.mkdir(parents=True)
        (self.model / "weights").write_text("1 2 3")
        made = {"name": "made", "uri": str(self.made), "type": {"instanceSchema": MODEL}}
        model = {"name": "7", "uri": str(self.model), "type": {"instanceSchema": MODEL}}
        self.input: dict[str, Any] = {
            "inputs": {
                "parameterValues": {"blessed": 1},
                "artifacts": {"model": {"artifacts": [model]}},
            },
            "outputs": {
                "artifacts": {"made": {"artifacts": [made]}},
                "outputFile": str(self.output_file),
            },
        }

    @property
    def model_artifact(self) -> dict[str, Any]:
        artifact: dict[str, Any] = self.input["inputs"]["artifacts"]["model"]["artifacts"][0]
        return artifact

    @property
    def made_artifact(self) -> dict[str, Any]:
        artifact: dict[str, Any] = self.input["outputs"]["artifacts"]["made"]["artifacts"][0]
        return artifact

    def as_remote(self) -> None:
        """URIs as the launcher gives them."""
        self.model_artifact["uri"] = MODEL_URI
        self.made_artifact["uri"] = "minio://root/plant/run-7/Task/made"

    def stock(self, executor: str) -> dict[str, Any]:
        """What TFX's entrypoint tells of the output."""
        from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as stock

        stock.main(stock._parse_flags(self._arguments(f"{EXECUTORS}.{executor}")))
        return self._told()

    def ours(self, executor: str) -> dict[str, Any]:
        """What ours tells, without its treatment of logs and signals."""
        from pipeline.kubeflow.container import task

        places = storage.Storage(str(self.pod))
        asked = invocation.read(json.dumps(self.input), json.dumps(SPEC), places)
        task.run(f"{EXECUTORS}.{executor}", asked, places, [])
        return self._told()

    def _arguments(self, executor: str) -> list[str]:
        return [
            "--executor_class_path",
            executor,
            "--json_serialized_invocation_args",
            json.dumps(self.input),
            "--json_serialized_inputs_spec_args",
            json.dumps(SPEC),
        ]

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.output_file.read_text())
        artifact: dict[str, Any] = told["artifacts"]["made"]["artifacts"][0]
        return artifact

    def process(self, executor: str) -> "subprocess.Popen[str]":
        """Our entrypoint as the launcher starts it."""
        return subprocess.Popen(
            [
                sys.executable,
                *("-m", "pipeline.kubeflow.entrypoint"),
                *self._arguments(f"executors.{executor}"),
            ],
            # IPython, which TFX imports, puts a package "tests" on the path that hides this one.
            env=os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parent / "launcher")},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


@pytest.fixture
def case(tmp_path: pathlib.Path) -> Case:
    return Case(tmp_path)


def test_both_run_what_is_mended_by_hand(case: Case) -> None:
    case.made.mkdir()
    assert case.stock("Copy")["uri"] == str(case.made)
    assert (case.made / "weights").read_text() == "1 2 3"
    (case.made / "weights").unlink()
    case.output_file.unlink()
    assert case.ours("Copy")["uri"] == str(case.made)
    assert (case.made / "weights").read_text() == "1 2 3"


def test_an_input_has_no_type(case: Case) -> None:
    """tensorflow/tfx#7768."""
    case.made.mkdir()
    case.model_artifact["type"] = {"instanceSchema": ""}
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'get'"):
        case.stock("Copy")
    case.ours("Copy")


def test_the_launchers_logs_are_an_output(case: Case) -> None:
    """kubeflow/pipelines from 2.5 on, ``provisionOutputs``."""
    case.made.mkdir()
    type_ = {"schemaTitle": "system.Artifact"}
    logs = {"name": "executor-logs", "uri": "minio://root/logs", "type": type_}
    case.input["outputs"]["artifacts"]["executor-logs"] = {"artifacts": [logs]}
    with pytest.raises(ImportError, match=r"Could not import system\.Artifact"):
        case.stock("Copy")
    case.ours("Copy")


@pytest.mark.parametrize("scheme", ["minio", "s3"])
def test_nothing_opens_the_uri(case: Case, scheme: str) -> None:
    case.model_artifact["uri"] = f"{scheme}://bucket/models/1"
    case.made_artifact["uri"] = f"{scheme}://root/plant/run-7/Task/made"
    with pytest.raises(Exception, match=f"File system scheme '{scheme}' not implemented"):
        case.stock("Copy")
    case.model.parents[2].rename(case.pod / "was")
    (case.pod / "was").rename(case.pod / scheme)
    assert case.ours("Copy")["uri"] == case.made_artifact["uri"]
    assert (case.pod / scheme / "root/plant/run-7/Task/made/weights").read_text() == "1 2 3"


def test_an_outputs_folder_is_not_there(case: Case) -> None:
    """``prepareOutputFolders`` makes the outputs' parents only."""
    with pytest.raises(FileNotFoundError, match="made/count"):
        case.stock("Count")
    case.ours("Count")
    assert (case.made / "count").read_text() == "1"


def test_an_empty_input_is_nowhere(case: Case) -> None:
    """``UploadBlob`` knows files only."""
    case.made.mkdir()
    (case.model / "weights").unlink()
    case.model.rmdir()
    with pytest.raises(FileNotFoundError, match="models/1"):
        case.stock("Count")
    case.ours("Count")
    assert (case.made / "count").read_text() == "0"


def test_a_property_without_a_value(case: Case) -> None:
    """``StructValueToMLMDValue`` refuses what TFX's entrypoint writes."""
    case.input["inputs"]["parameterValues"]["empty"] = True
    with pytest.raises(ValueError, match=r"unsupported value type .*NullValue"):
        MetadataStore().record("made", case.stock("Bless"))
    case.output_file.unlink()
    told = case.ours("Bless")
    assert "empty" not in told["metadata"]
    assert MetadataStore().record("made", told) == 1


def test_a_containers_paths_leave_it(case: Case) -> None:
    """Local paths, without which it opens nothing, are what TFX's entrypoint then tells."""
    told = case.stock("Bless")
    assert told["metadata"]["current_model"] == str(case.model)
    with pytest.raises(ValueError, match="unsupported storage scheme"):
        driver.local_path(told["uri"])
    case.output_file.unlink()
    case.as_remote()
    told = case.ours("Bless")
    assert told["metadata"]["current_model"] == MODEL_URI
    assert told["uri"] == "minio://root/plant/run-7/Task/made"


def test_the_run_is_not_told(case: Case) -> None:
    """Nothing fills in the context that a version's lineage takes the run's id from."""
    assert case.stock("Bless")["metadata"]["run_id"] == "None"
    case.output_file.unlink()
    case.as_remote()
    assert case.ours("Bless")["metadata"]["run_id"] == "run-7"


def test_what_the_launcher_tells_of_an_input_comes_back(case: Case) -> None:
    """Metadata of an output, as an input of the next task: types and values are kept."""
    from tfx.types import standard_artifacts

    from components.ingest.examples import fill_examples_artifact
    from pipeline.kubeflow.container import artifacts

    made = standard_artifacts.Examples()
    made.uri = "/minio/root/examples"
    fill_examples_artifact(made, ["train", "eval"])
    described = invocation.Described("", "tfx.Examples", "minio://root/examples", made.uri, {})
    told = artifacts.executor_output(
        {"examples": [made]}, {"examples": described}, storage.Storage()
    )
    store = MetadataStore()
    number = store.record("examples", told["artifacts"]["examples"]["artifacts"][0])
    stored = json.loads(json.dumps(store.runtime_artifact(number)))
    again = artifacts.to_tfx(
        invocation.Described(
            stored["name"], "tfx.Examples", stored["uri"], made.uri, stored["metadata"]
        )
    )
    assert again.id == number
    assert again.split_names == '["train", "eval"]'
    assert again.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert again.get_int_custom_property("span") == made.get_int_custom_property("span")


def test_a_value_is_a_file(case: Case) -> None:
    case.made_artifact["type"] = {"instanceSchema": "title: tfx.String\n"}
    case.ours("Name")
    assert case.made.read_text() == "plant"


def test_a_type_that_is_nowhere(case: Case) -> None:
    case.made_artifact["type"] = {"instanceSchema": "title: plant.Nothing\n"}
    with pytest.raises(ValueError, match=r"there is no artifact type 'plant\.Nothing'"):
        case.ours("Name")


def test_sigterm_stops_cleanly(case: Case) -> None:
    process = case.process("Wait")
    began = case.made / "began"
    deadline = time.monotonic() + 300
    while not began.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not began.exists()
    assert "stopped by SIGTERM" in [json.loads(line)["message"] for line in printed.splitlines()]
