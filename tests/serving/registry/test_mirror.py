"""A real MLflow, as a file and as a server, told by the record's own transitions."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from pipeline import doctor
from pipeline.registry import command as registry_verb
from pipeline.releases import promote, rollback
from pipeline.versions import command as versions_verb
from serving.registry import background, standing
from serving.registry.background import Mirror
from serving.releases import Releases
from tests import demo_project
from tests.ports import free_port

ROOT = Path(__file__).parents[3]
MLFLOW = ROOT / ".tools" / "mlflow" / "bin" / "python"
RELEASE = {
    "metrics": {"auc": 0.91, "example_count": 500, "recall": None},
    "baseline_metrics": {"auc": 0.9},
    "baseline_version": 7,
    "gates": {"serving gate": {"blessed": True, "measured": {"latency_p99_ms": 12.5, "told": "x"}}},
    "lineage": {
        "as_of": "2025-04-17T00:00:00Z",
        "train": "2025-02-01T00:00:00Z/2025-04-01T00:00:00Z",
        "settings": "aa",
        "schema": "bb",
        "code": "cc",
        "commit": "0123abc+",
        "run_id": "run-1",
    },
}


class Server:
    """An MLflow server over a database file, and what it answers."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.file = f"sqlite:///{folder}/mlflow.db"
        self.artifacts = folder / "artifacts"

    def ask(self, what: str, **given: str) -> dict:
        """MLflow's REST API, asked without its client."""
        answer = httpx.get(f"{self.url}/api/2.0/mlflow/{what}", params=given, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def aliases(self, model: str) -> dict[str, int]:
        """By alias, the release that it stands on."""
        told = self.ask("registered-models/get", name=model)["registered_model"]
        releases = {v["version"]: int(tags(v)["release.version"]) for v in self.versions(model)}
        return {a["alias"]: releases[a["version"]] for a in told.get("aliases", [])}

    def versions(self, model: str) -> list[dict]:
        """The model versions, by release."""
        found = self.ask("model-versions/search", filter=f"name='{model}'")["model_versions"]
        return sorted(found, key=lambda v: int(tags(v)["release.version"]))

    def states(self, model: str) -> dict[int, str]:
        return {
            int(tags(v)["release.version"]): tags(v)["release.state"] for v in self.versions(model)
        }


def tags(version: dict) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in version["tags"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """Started once: it takes MLflow a quarter of a minute."""
    assert MLFLOW.exists(), "make test prepares .tools/mlflow"
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    server = Server(folder, port)
    command = [MLFLOW, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", server.file, "--artifacts-destination", server.artifacts]
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, command), "--workers", "1"], stdout=log, stderr=log, env=environment
        )
    try:
        eventually(lambda: answers(f"{server.url}/health"), seconds=300)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def eventually(true: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(autouse=True)
def patient(monkeypatch) -> None:
    """A machine that stalls is not what these tests ask about."""
    ask = background.ask
    monkeypatch.setattr(background, "ask", lambda *words, seconds: ask(*words, seconds=600))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")


@pytest.fixture
def closed() -> str:
    """A URL at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


class Project:
    """Settings with a registry, and the releases they name."""

    def __init__(self, folder: Path, model: str, **registry: object) -> None:
        self.folder, self.registry = folder, {"kind": "mlflow", **registry}
        line = f"serving: {{model: {model}, directory: {folder}/serving}}"
        text = demo_project.SETTINGS.read_text()
        kept = [line for line in text.splitlines() if not line.startswith("serving:")]
        self.settings = folder / "settings.yaml"
        self.settings.write_text(
            "\n".join([*kept, line, f"registry: {json.dumps(self.registry)}"]) + "\n"
        )
        self.mirror = Mirror(folder / "serving" / model, self.registry)
        self.releases = Releases(folder / "serving" / model, [self.mirror])

    def push(
        self, content: str, rollout: str = "at_once", keep: int = 9, told: bool = True
    ) -> None:
        """Pushes a model; ``told`` is whether the mirror hears of it."""
        model = self.folder / "m"
        model.mkdir(exist_ok=True)
        (model / "saved_model.pb").write_text(content)
        releases = self.releases if told else Releases(self.releases.folder)
        releases.push(model, RELEASE, keep, "blessed", rollout=rollout)

    def call(self, command, *arguments: str) -> str:
        done = CliRunner().invoke(command, list(arguments), obj=str(self.settings))
        assert done.exit_code == 0, done.output
        return done.output

    def is_mirrored(self) -> bool:
        return standing.behind(self.releases) == ""


@pytest.mark.parametrize("way", ["file", "server"])
def test_aliases_follow_every_transition(way, server, tmp_path):
    model = f"plant-{way}"
    uri = server.file if way == "file" else server.url
    project = Project(tmp_path, model, tracking_uri=uri)

    project.push("1", told=way == "server")
    if way == "server":
        assert project.mirror.wait(300) == ""
        assert server.aliases(model) == {"champion": 1}

    project.push("2", "canary")
    assert project.mirror.wait(300) == ""
    assert server.aliases(model) == {"champion": 1, "challenger": 2}
    assert server.states(model) == {1: "stable", 2: "staged"}

    project.releases.advance(2, 0, "loaded", "test", {})
    project.releases.advance(2, 10, "began", "test", {})
    assert project.mirror.wait(300) == ""
    assert server.aliases(model) == {"champion": 1, "challenger": 2}
    assert tags(server.versions(model)[1])["release.percent"] == "10"

    told = project.call(promote, "2", "--why", "better")
    assert told == "Version 2 is stable.\nMLflow follows in the background.\n"
    eventually(project.is_mirrored)
    assert server.aliases(model) == {"champion": 2}
    assert server.states(model) == {1: "retired", 2: "stable"}

    project.call(rollback, "--why", "slow")
    eventually(project.is_mirrored)
    assert server.aliases(model) == {"champion": 1}
    assert server.states(model) == {1: "stable", 2: "quarantined"}

    first, second = server.versions(model)
    assert tags(second)["release.why"] == "slow"
    assert "release.percent" not in tags(second)
    place = str(project.releases.folder / "1")
    assert first["source"] == (
        place if way == "file" else f"release://{socket.gethostname()}{place}"
    )
    check_run(server, first["run_id"])


def check_run(server: Server, run_id: str) -> None:
    """The run tells the metrics, what the gate measured and where the version comes from."""
    run = server.ask("runs/get", run_id=run_id)["run"]
    assert {m["key"]: m["value"] for m in run["data"]["metrics"]} == {
        "auc": 0.91,
        "example_count": 500,
        "baseline.auc": 0.9,
        "serving_gate.latency_p99_ms": 12.5,
    }
    params = {p["key"]: p["value"] for p in run["data"]["params"]}
    assert params == {**RELEASE["lineage"], "baseline_version": "7"}
    assert tags(run["data"])["mlflow.source.git.commit"] == "0123abc"
    assert run["info"]["status"] == "FINISHED"


@pytest.mark.parametrize("way", ["file", "server"])
def test_the_models_files_are_kept_if_asked_for(way, server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MLflow would put what belongs to a file there.
    uri = "sqlite:///db/mlflow.db" if way == "file" else server.url
    project = Project(tmp_path, f"files-{way}", tracking_uri=uri, log_artifacts=True)
    project.push("the graph")
    assert project.mirror.wait(300) == ""
    root = tmp_path / "db" / "mlflow-artifacts" if way == "file" else server.artifacts
    (kept,) = root.rglob("saved_model.pb")
    assert kept.read_text() == "the graph"
    assert not (tmp_path / "mlruns").exists()
    if way == "server":
        (version,) = server.versions("files-server")
        assert version["source"].startswith("mlflow-artifacts:/")


def test_what_mlflow_missed_while_it_was_down_is_caught_up(server, closed, tmp_path, monkeypatch):
    monkeypatch.setenv("MIRROR_AT", closed.replace("//", "//plant:hunter2@"))
    project = Project(tmp_path, "missed", tracking_uri_env="MIRROR_AT")
    project.push("1", told=False)
    project.push("2")
    told = project.mirror.wait(300)
    assert told.startswith("MLflow could not be told (20")
    assert "onnection refused" in told
    assert "hunter2" not in told
    assert told in project.call(versions_verb).replace("\n", " ")
    failed = standing.read(project.releases.folder)
    assert "The last time it could not be told" in project.call(rollback, "--why", "slow")
    # What that started still asks where nobody listens, and says so when it has given up.
    eventually(lambda: standing.read(project.releases.folder) != failed)

    monkeypatch.setenv("MIRROR_AT", server.url)
    found = doctor.registry(str(project.releases.folder), project.registry)
    assert (found.verdict, found.seen) == ("ok", f"MLflow answers at {server.url}")
    told = project.call(registry_verb)
    assert told == f"MLflow at {server.url} equals the record: champion is release 1\n"
    assert project.is_mirrored()
    assert server.states("missed") == {1: "stable", 2: "quarantined"}

    for content in "34":
        project.push(content, keep=1, told=False)
    assert [v.number for v in project.releases.versions()] == [3, 4]
    project.call(registry_verb)
    assert server.aliases("missed") == {"champion": 4}
    now = {1: "pruned", 2: "quarantined", 3: "retired", 4: "stable"}
    assert server.states("missed") == now

    before = server.versions("missed")
    project.call(registry_verb)
    assert server.versions("missed") == before


def test_a_server_that_never_answers_holds_up_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        project = Project(tmp_path, "hangs", tracking_uri=uri)
        project.push("1", told=False)
        project.push("2")
        project.mirror.wait(300)
        failed = standing.read(project.releases.folder)
        assert "timed out" in failed.error or "timeout" in failed.error
        # It asks again, without an end in sight, while the command has ended.
        project.call(rollback, "--why", "slow")
        assert project.releases.stable().number == 1
        assert standing.read(project.releases.folder) == failed
        eventually(lambda: standing.read(project.releases.folder) != failed)
        assert not project.is_mirrored()


def test_without_mlflow_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "interpreter", lambda: None)
    project = Project(tmp_path, "none", tracking_uri="sqlite:///mlflow.db")
    project.push("1")
    assert project.mirror.follows().startswith("MLflow is not told: MLflow is not installed: `make")
    done = CliRunner().invoke(registry_verb, obj=str(project.settings))
    assert done.exit_code == 1
    assert "pip install 'tfx-pipeline-template[mlflow]'" in done.output
