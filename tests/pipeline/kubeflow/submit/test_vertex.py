"""Google's real client against a stand-in for Vertex AI's REST API."""

import json

import pytest
import yaml
from google.auth.credentials import AnonymousCredentials

from pipeline.kubeflow.submit.backend import Package
from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.kubeflow.submit.vertex import VertexBackend
from pipeline.kubeflow.submit.watch import Pace, watch
from pipeline.settings import parse_settings
from tests.pipeline.kubeflow.submit.conftest import STAGES, package_text, settings_text
from tests.pipeline.kubeflow.submit.vertex_api import VertexApi

PARENT = "projects/plant/locations/europe-west4"
SETTINGS = """
backend: vertex
vertex: {project: plant, region: europe-west4}
pipeline_root: gs://plant/root
service_account: runner@plant.iam.gserviceaccount.com
"""


@pytest.fixture
def api():
    api = VertexApi()
    yield api
    api.stop()


@pytest.fixture
def connect(api):
    kubeflow = parse_settings(
        settings_text("", SETTINGS).replace("host: ''", "host: null")
    ).kubeflow
    return lambda: VertexBackend(kubeflow, api.url, AnonymousCredentials())


def packed(change: str = "") -> Package:
    spec = yaml.safe_load(package_text(change))
    return Package.read(json.dumps({"pipelineSpec": spec}), "pipeline.vertex.json")


def start(backend, name: str = "night") -> str:
    return backend.start(packed(), backend.upload(packed()), name, {"as_of": "now", "epochs": 3})


@pytest.mark.parametrize("lost", [0, 1])
def test_one_job_is_created(api, connect, lost):
    api.lost = lost
    assert start(connect()) == "night"
    (job,) = api.jobs.values()
    assert job["name"] == f"{PARENT}/pipelineJobs/night"
    assert job["pipelineSpec"]["pipelineInfo"]["name"] == "plant-failures"
    assert job["runtimeConfig"] == {
        "gcsOutputDirectory": "gs://plant/root",
        "parameterValues": {"as_of": "now", "epochs": 3},
    }
    assert job["serviceAccount"] == "runner@plant.iam.gserviceaccount.com"
    assert job["labels"] == {"package": packed().digest[:32]}


def test_a_job_is_followed(api, connect, capsys):
    backend = connect()
    job = start(backend)
    done = {STAGES[0]: "SKIPPED", STAGES[1]: "SUCCEEDED"}
    api.states = [
        ("PENDING", {}),
        ("RUNNING", {STAGES[0]: "SKIPPED", STAGES[1]: "RUNNING"}),
        ("RUNNING", done | {"Trainer": "RUNNING"}),
        ("FAILED", done | {"Trainer": "FAILED", "Evaluator": "NOT_TRIGGERED"}),
    ]
    from rich.console import Console

    state, sight = watch(backend, job, STAGES, Console(width=200), Pace(0.01, 0.01))
    assert state == "failed"
    assert sight.of("cached") == [STAGES[0]]
    assert sight.of("failed") == ["Trainer"]
    assert "Evaluator" in sight.of("skipped")
    assert "failed  Trainer  7.5 s  The replica exited with status 1" in capsys.readouterr().out


def test_a_job_is_cancelled(api, connect):
    backend = connect()
    job = start(backend)
    backend.cancel(job)
    assert backend.look(job).state == "canceling"
    api.states = [("CANCELLED", {"Trainer": "CANCELLED"})]
    snapshot = backend.look(job)
    assert (snapshot.state, snapshot.stages["Trainer"].state) == ("canceled", "stopped")
    assert "/europe-west4/pipelines/runs/night?project=plant" in backend.link(job)


def test_one_schedule_is_kept(api, connect):
    backend = connect()

    def ask(cron: str = "0 3 * * *", change: str = "") -> str:
        uploaded = backend.upload(packed(change))
        return backend.schedule(packed(change), uploaded, "plant", cron, {"as_of": "now"}).change

    assert [ask(), ask(), ask("0 4 * * *"), ask("0 4 * * *", "2")] == [
        "made",
        "left as it is",
        "replaced",
        "replaced",
    ]
    (schedule,) = api.schedules.values()
    assert schedule["cron"] == "0 4 * * *"
    assert [backend.disable("plant"), backend.disable("plant")] == [1, 0]
    assert (ask("0 4 * * *", "2"), schedule["state"]) == ("enabled", "ACTIVE")
    with pytest.raises(SubmitError, match="no recurring run 'other'"):
        backend.disable("other")


def test_a_login_that_may_not_is_told(api, connect, monkeypatch, tmp_path):
    api.refused = 403
    with pytest.raises(SubmitError, match=r"Vertex AI, project plant, europe-west4: 403 .*denied"):
        connect()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    kubeflow = parse_settings(
        settings_text("", SETTINGS).replace("host: ''", "host: null")
    ).kubeflow
    with pytest.raises(SubmitError, match="gcloud auth application-default login"):
        VertexBackend(kubeflow, api.url)
