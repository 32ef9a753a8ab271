"""A project with two runs and their artifacts, five versions, and its page on a real port."""

import json
import pathlib
import shutil
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline import history
from pipeline.settings import load_settings
from pipeline.ui.app import make
from pipeline.ui.guard import Seal
from pipeline.ui.rollout import Rollout
from serving.releases import Releases
from tests import demo_project

HOSTILE = "20250403-000000-<img src=x onerror=alert(1)>"
RUNS = ("20250401-000000-aaaa", "20250402-000000-bbbb")
_TYPES = {
    "CuratedSchema": (("schema",), "schema.pbtxt"),
    "PointInTimeJoin": (("report", "examples"), "report.json"),
    "Trainer": (("model_run",), "training.json"),
    "Evaluator": (("evaluation",), "evaluation.json"),
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """ML Metadata of the two runs, which a test copies; it names the artifacts beside it."""
    made = Made(tmp_path_factory.mktemp("made"))
    made.run(RUNS[0], auc=0.7, epochs=10, rows=1000)
    made.run(RUNS[1], auc=0.9, epochs=12, rows=1100)
    return made.database


@pytest.fixture
def project(tmp_path: pathlib.Path, made: pathlib.Path) -> pathlib.Path:
    """The settings of a project with two runs that ended and one whose name is hostile."""
    text = demo_project.SETTINGS.read_text(encoding="utf-8")
    text += f"\nrun: {{directory: {tmp_path}/var}}\n"
    text = text.replace("serving: {", f"serving: {{directory: {tmp_path}/var/serving, ")
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    record(tmp_path, RUNS[0], decision="not pushed, because auc 0.70 is below 0.80")
    record(tmp_path, RUNS[1], decision="version 2 pushed: auc 0.900, +0.200 over version 1")
    record(tmp_path, HOSTILE, state="failed", error="<script>alert(2)</script>\nsecond line")
    shutil.copy(made, tmp_path / "var")
    return path


@pytest.fixture
def releases(tmp_path: pathlib.Path, project: pathlib.Path) -> Releases:
    """Versions 1 and 2 retired, 3 stable, 4 quarantined, 5 staged."""
    releases = Releases(tmp_path / "var/serving/plant-failures")
    for number in range(1, 6):
        push(releases, tmp_path, str(number), "canary" if number > 3 else "at_once")
    releases.rollback("p99 is up to 100 ms: 50 ms are allowed", number=4)
    return releases


def push(releases: Releases, scratch: pathlib.Path, content: str, rollout: str) -> None:
    model = scratch / "model"
    model.mkdir(exist_ok=True)
    (model / "saved_model.pb").write_text(content)
    release = {"metrics": {"auc": 0.9}, "lineage": {"run_id": RUNS[1], "as_of": "2025-04-02"}}
    releases.push(model, release, 9, "blessed by evaluation", by="pipeline", rollout=rollout)


def record(folder: pathlib.Path, run_id: str, **fields: object) -> pathlib.Path:
    """Writes a run's record."""
    path = folder / "var/runs" / run_id / "run.json"
    path.parent.mkdir(parents=True)
    told = {
        "run_id": run_id,
        "state": "done",
        "as_of": "2025-04-01T00:00:00Z",
        "began": "2025-04-01T06:00:00Z",
        "ended": "2025-04-01T06:02:30Z",
        "nodes": {"PointInTimeJoin": "cached", "Trainer": "done", "Evaluator": "done"},
        "seconds": {"Trainer": 12.5, "Evaluator": 16.0},
        "decision": "",
        "error": "",
    }
    path.write_text(json.dumps(told | fields))
    plan = {
        "settings": "settings.yaml",
        "from_nodes": [],
        "to_nodes": [],
        "inputs": {"lineage": {}, "watermarks": {}},
    }
    path.with_name("plan.json").write_text(json.dumps(plan))
    return path


class Made:
    """ML Metadata and artifacts, as runs leave them."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self.database = directory / "metadata.db"
        self._store = history.open_store(self.database)
        self._contexts = {
            name: self._store.put_context_type(mlmd.ContextType(name=name))
            for name in ("node", "pipeline_run")
        }
        self._artifact = self._store.put_artifact_type(mlmd.ArtifactType(name="Made"))
        self._nodes = {
            stage: self._store.put_contexts(
                [mlmd.Context(type_id=self._contexts["node"], name=f"plant.{stage}")]
            )[0]
            for stage in _TYPES
        }

    def run(self, run_id: str, auc: float, epochs: int, rows: int) -> None:
        context = mlmd.Context(type_id=self._contexts["pipeline_run"], name=run_id)
        (run,) = self._store.put_contexts([context])
        extra = " feature { name: 'extra' type: INT }" if epochs > 10 else ""
        metrics = {"example_count": rows / 10, "auc": auc, "brier_score": 1 - auc}
        curve = [
            {"epoch": n, "seconds": 1.0, "metrics": {"loss": 1 / n, "val_auc": auc - 0.1 / n}}
            for n in range(1, 4)
        ]
        self._stage("CuratedSchema", run, f"feature {{ name: 'age' type: FLOAT }}{extra}", {})
        report = {
            "rows": {"train": rows, "eval": rows // 10},
            "spine": {"name": "observations", "rows": rows, "dropped": {}},
            "sources": {},
        }
        self._stage("PointInTimeJoin", run, json.dumps(report), {"as_of": "2025-04-01"})
        config = json.dumps({"config": {"training": {"epochs": epochs}}, "code": run_id})
        self._stage("Trainer", run, json.dumps({"epochs": curve}), {"custom_config": config})
        evaluation = {
            "metrics": metrics,
            "slices": [{"slice": {"model": "A10"}, "metrics": {"auc": 1 - auc}}],
        }
        self._stage("Evaluator", run, json.dumps(evaluation), {})

    def _stage(self, stage: str, run: int, content: str, told: dict[str, str]) -> None:
        kind = self._store.put_execution_type(mlmd.ExecutionType(name=stage))
        execution = mlmd.Execution(type_id=kind, last_known_state=mlmd.Execution.COMPLETE)
        for name, value in told.items():
            execution.custom_properties[name].string_value = value
        (number,) = self._store.put_executions([execution])
        self._store.put_attributions_and_associations(
            [],
            [
                mlmd.Association(execution_id=number, context_id=c)
                for c in (self._nodes[stage], run)
            ],
        )
        outputs, file = _TYPES[stage]
        path = self._directory / "pipeline" / stage / str(number) / file
        path.parent.mkdir(parents=True)
        path.write_text(content)
        for output in outputs:
            artifact = mlmd.Artifact(type_id=self._artifact, uri=str(path.parent))
            (made,) = self._store.put_artifacts([artifact])
            event = mlmd.Event(artifact_id=made, execution_id=number, type=mlmd.Event.OUTPUT)
            event.path.steps.add(key=output)
            self._store.put_events([event])


@pytest.fixture
def address(project: pathlib.Path) -> Iterator[str]:
    """The page's address with its key, as the verb prints it."""
    # The rollout's server is not there.
    seal, rollout = Seal(), Rollout(str(project), ["--server=http://127.0.0.1:1", "--poll=0.1"])
    app = make(load_settings(project), str(project), seal, rollout)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/?key={seal.key}"
        finally:
            server.should_exit = True
            thread.join()
            rollout.stop()


@pytest.fixture
def stranger(address: str) -> Iterator[httpx.Client]:
    """A client without the key."""
    with httpx.Client(base_url=address.partition("?")[0], timeout=60) as client:
        yield client


@pytest.fixture
def client(stranger: httpx.Client, address: str) -> httpx.Client:
    """A client that opened the printed address."""
    assert stranger.get(address).status_code == 303
    return stranger
