"""Google's real client against a stand-in for Vertex AI's custom jobs."""

import re
import threading

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1
from google.protobuf import json_format

from components.distributed_trainer.launch.job import TrainingFailed
from components.distributed_trainer.launch.vertex.jobs import Jobs
from components.distributed_trainer.launch.vertex.launcher import Pace, Vertex
from components.distributed_trainer.launch.vertex.request import custom_job
from components.distributed_trainer.settings import VertexWorkers
from tests.components.distributed_trainer.conftest import HERE, IMAGE
from tests.components.distributed_trainer.custom_jobs_api import PARENT, CustomJobsApi

PACE = Pace(tick=0.05, patience=60, gone=60)
SETTINGS = VertexWorkers.model_validate(
    {
        "count": 4,
        "shared": "/gcs/plant/training",
        "project": "plant",
        "region": "europe-west4",
        "image": IMAGE,
        "machine_type": "g2-standard-24",
        "accelerator": {"vertex": "NVIDIA_L4", "count": 2},
        "service_account": "trainer@plant.iam.gserviceaccount.com",
        "network": "projects/12345/global/networks/plant",
        "spot": True,
        "timeout": "6h",
        "env": {"PYTHONPATH": str(HERE)},
    }
)


@pytest.fixture
def api():
    api = CustomJobsApi()
    yield api
    api.stop()


@pytest.fixture
def launched(api):
    def make(**changes: object) -> Vertex:
        update = {"count": 2, "restarts": 0, **changes}
        jobs = Jobs("plant", "europe-west4", api.url, AnonymousCredentials())
        return Vertex(SETTINGS.model_copy(update=update), jobs, PACE)

    return make


def failure(launcher, job) -> str:
    with pytest.raises(TrainingFailed) as caught:
        launcher.run(job)
    return str(caught.value)


def test_what_is_asked_is_a_custom_job():
    asked = custom_job("0123456789abcdef", "a1", "Run/7", ["python"], SETTINGS)
    job = aiplatform_v1.CustomJob(asked, ignore_unknown_fields=False)
    told = json_format.MessageToDict(job._pb)
    pool = {
        "machineSpec": {
            "machineType": "g2-standard-24",
            "acceleratorType": "NVIDIA_L4",
            "acceleratorCount": 2,
        },
        "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100},
        "containerSpec": {
            "imageUri": IMAGE,
            "command": ["python"],
            "env": [{"name": "PYTHONPATH", "value": str(HERE)}],
        },
    }
    assert told == {
        "displayName": "training-0123456789abcdef",
        "labels": {
            "training_job": "0123456789abcdef",
            "training_attempt": "a1",
            "pipeline_run": "run-7",
        },
        "jobSpec": {
            "workerPoolSpecs": [{"replicaCount": "1", **pool}, {"replicaCount": "3", **pool}],
            "scheduling": {"timeout": "21600s", "strategy": "SPOT", "disableRetries": True},
            "serviceAccount": "trainer@plant.iam.gserviceaccount.com",
            "network": "projects/12345/global/networks/plant",
        },
    }


def test_an_accelerator_that_vertex_does_not_know_is_refused():
    wrong = SETTINGS.accelerator.model_copy(update={"vertex": "NVIDIA_L5"})
    asked = custom_job("k", "a", "", [], SETTINGS.model_copy(update={"accelerator": wrong}))
    with pytest.raises(Exception, match="NVIDIA_L5"):
        aiplatform_v1.CustomJob(asked)


def test_machines_train_a_model_that_comes_back(api, launched, make_job, tmp_path, caplog):
    caplog.set_level("INFO")
    api.plays = [None]
    launched(count=3).run(make_job("told_by_the_operator"))
    assert (tmp_path / "own/model/serving/saved").read_text() == "chief 0"
    (job,) = api.jobs.values()
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert "/vertex-ai/locations/europe-west4/training/1?project=plant" in caplog.text
    assert "POST cancel" not in api.seen


def test_what_a_worker_raises_is_told_in_its_own_words(api, launched, make_job):
    api.plays = [None]
    text = failure(launched(restarts=2), make_job("raises_there"))
    assert text.startswith(
        "worker 1 of 2 failed: ValueError: label 'fails' is missing in 3 of 40 examples; its "
        "workers' logs are at https://console.cloud.google.com/"
    )
    assert len(api.jobs) == 1


def test_a_killed_worker_starts_the_whole_job_again(api, launched, make_job, tmp_path, caplog):
    api.plays = [None, None]
    launched(restarts=1).run(make_job("killed_there"))
    assert "exited with a non-zero status of 137" in caplog.text
    assert len({job["labels"]["training_attempt"] for job in api.jobs.values()}) == 2
    assert (tmp_path / "own/model/serving/saved").read_text() == "chief 0"


def test_workers_that_hang_are_ended(api, launched, make_job):
    api.plays = [None]
    text = failure(
        launched(hang_timeout=1_000_000, orphan_timeout=10_000_000), make_job("hangs_there")
    )
    assert re.match(r"worker \d of 2 hangs: no batch ended for", text)
    (job,) = api.jobs.values()
    assert job["state"] == "JOB_STATE_CANCELLED"


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (
            ["RUNNING", ("FAILED", "The following quota metrics exceed quota limits: L4")],
            r"projects/plant/.*/customJobs/1 failed: The following quota metrics exceed",
        ),
        (["RUNNING", "EXPIRED"], r".*/1 took longer than it may \(training.workers.timeout\)"),
        (["RUNNING", "CANCELLED"], r".*/1 was cancelled while it ran"),
        (
            ["PENDING"],
            r".*/1 has found no machines \(training.workers.pending_timeout\)",
        ),
    ],
)
def test_how_a_job_ended_is_told(api, launched, make_job, play, words):
    api.plays = [play]
    launcher = launched(pending_timeout=500_000, restarts=2)
    assert re.match(words, failure(launcher, make_job()))
    assert len(api.jobs) == 1
    assert all(job["state"].rpartition("_")[2] in _ENDED for job in api.jobs.values())


_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


def test_answers_that_are_lost_make_no_second_job(api, launched, make_job):
    api.plays = [["RUNNING", "SUCCEEDED"]]
    api.failing = {"POST": [599], "GET": [0, 0, 0, 503, 503]}
    launched().run(make_job())
    assert len(api.jobs) == 1


def test_a_job_left_behind_is_cancelled_first(api, launched, make_job, caplog):
    labels = {"training_job": "0123456789abcdef", "training_attempt": "old"}
    api.handle("POST", f"/v1/{PARENT}/customJobs", {"displayName": "old", "labels": labels})
    api.plays = [["SUCCEEDED"]]
    launched().run(make_job())
    old, new = api.jobs.values()
    assert (old["state"], new["state"]) == ("JOB_STATE_CANCELLED", "JOB_STATE_SUCCEEDED")
    assert "was left behind by an earlier launcher" in caplog.text


def test_a_launcher_that_is_stopped_cancels_the_job(api, launched, make_job, monkeypatch):
    api.plays = [["RUNNING"]]
    looks = []

    def stopped(self, name):
        looks.append(name)
        raise KeyboardInterrupt

    monkeypatch.setattr(Jobs, "get", stopped)
    with pytest.raises(KeyboardInterrupt):
        launched().run(make_job())
    (job,) = api.jobs.values()
    assert job["state"] == "JOB_STATE_CANCELLED"
    assert not [t for t in threading.enumerate() if t.name == "launcher's sign"]


def test_a_login_that_may_not_is_told(api, launched, make_job):
    api.failing = {"GET": [403]}
    assert re.match(
        rf"cannot list CustomJobs in {PARENT}: 403 .*denied", failure(launched(), make_job())
    )


def test_no_login_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(TrainingFailed, match="gcloud auth application-default login"):
        Jobs("plant", "europe-west4")
