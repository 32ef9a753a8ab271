"""A cluster of tests' own."""

import pathlib
import threading

import kubernetes
import pytest

from components.distributed_trainer.launch import staging
from components.distributed_trainer.launch.job import Job
from components.distributed_trainer.launch.tfjob.attempt import Pace
from components.distributed_trainer.launch.tfjob.cluster import Cluster
from components.distributed_trainer.launch.tfjob.launcher import TfJob
from components.distributed_trainer.settings import TfJobWorkers
from tests.components.distributed_trainer.kubernetes_api import KubernetesApi

HERE = pathlib.Path(__file__).parent
IMAGE = f"registry.example/plant@sha256:{'0' * 64}"
PACE = Pace(tick=0.05, window=2, retry=0.05, patience=60, grace=0.3, last_words=10, gone=60)


@pytest.fixture(autouse=True)
def _seen_at_once(monkeypatch):
    """What is not on this disk will not appear; most plays make no model."""
    monkeypatch.setattr(staging, "SEEN_AFTER", 0.0)


@pytest.fixture
def api():
    api = KubernetesApi()
    yield api
    api.stop()
    # A reader that went on asking would ask whatever listens on that port next.
    for reader in threading.enumerate():
        if reader.name.startswith(("log of", "follow ")):
            reader.join(30)
            assert not reader.is_alive(), reader.name


def connect(url: str) -> Cluster:
    """The launcher's view of the cluster."""
    configuration = kubernetes.client.Configuration(host=url)
    configuration.retries = False
    return Cluster(kubernetes.client.ApiClient(configuration), "plant")


@pytest.fixture
def connected(api):
    return connect(api.url)


@pytest.fixture
def launched(connected, tmp_path):
    """Makes a launcher; settings may be changed by keyword."""

    def make(pace: Pace = PACE, patches=(), **changes: object) -> TfJob:
        pod = {
            "image": IMAGE,
            "volumes": [{"claim": "plant", "path": str(tmp_path)}],
            "env": {"PYTHONPATH": str(HERE)},
        }
        given = {"shared": str(tmp_path / "shared"), "pod": pod, "restarts": 0, **changes}
        return TfJob(TfJobWorkers.model_validate(given), patches, connected, pace)

    return make


@pytest.fixture
def make_job(tmp_path):
    """Makes the job that runs a function of run_fns.py; its inputs and outputs are on no volume."""
    own = tmp_path / "own"
    (own / "examples").mkdir(parents=True)
    for shard in range(2):
        (own / "examples" / f"data-{shard}").write_text(str(shard))

    def make(name: str = "trained") -> Job:
        fn_args = {
            "train_files": [str(own / "examples" / "*")],
            "serving_model_dir": str(own / "model" / "serving"),
            "model_run_dir": str(own / "run"),
        }
        scratch = str(tmp_path / "shared" / "0123456789abcdef")
        return Job(f"run_fns.{name}", fn_args, "FORMAT_TF_EXAMPLE", scratch, "run 7/a")

    return make
