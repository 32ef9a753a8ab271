"""Many workers make the model that one process makes, whoever of them is killed meanwhile."""

import logging
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from components.distributed_trainer.launch.job import Job
from components.distributed_trainer.launch.loopback import Loopback
from components.distributed_trainer.launch.tfjob.launcher import TfJob
from components.distributed_trainer.settings import LAUNCH, Launch, LoopbackWorkers, TfJobWorkers
from tests.components.distributed_trainer.conftest import PACE, connect
from tests.components.distributed_trainer.kubernetes_api import KubernetesApi
from tests.components.distributed_trainer.training_operator import Operator as TrainingOperator
from trainer import examples

pytestmark = pytest.mark.tfx

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
TRAINING = {"dropout": 0.0, "epochs": 4, "batch_size": 128, "early_stopping_patience": 9}


@pytest.fixture(scope="module")
def undisturbed(transformed):
    """The weights that one process comes to."""
    return weights(transformed("binary").train("one", strategy="none", **TRAINING))


@pytest.fixture
def job(transformed, custom_config, tmp_path, monkeypatch):
    """Makes a job of the same training with faults."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    examples, graph = transformed("binary").examples.uri, transformed("binary").graph.uri

    def make(faults: list[dict], streamed: bool = False, **training: object) -> Job:
        config = custom_config("binary", strategy="multi_worker", **TRAINING, **training)
        fn_args = {
            "train_files": [f"{examples}/Split-train/*"],
            "eval_files": [f"{examples}/Split-eval/*"],
            "transform_graph_path": graph,
            "train_steps": None,
            "eval_steps": None,
            "hyperparameters": None,
            "serving_model_dir": str(tmp_path / "model"),
            "eval_model_dir": str(tmp_path / "eval"),
            "model_run_dir": str(tmp_path / "run"),
            "custom_config": {**config, "faults": faults, "streamed": streamed},
        }
        return Job("faulty.run_fn", fn_args, "FORMAT_TF_EXAMPLE", str(tmp_path / "scratch"))

    return make


def test_two_workers_of_the_component(transformed, undisturbed, tmp_path, monkeypatch):
    launch = Launch(workers=LoopbackWorkers(), directory=str(tmp_path / "training"))
    monkeypatch.setenv(LAUNCH, launch.model_dump_json())
    model = transformed("binary").train("two", workers=2, strategy="multi_worker", **TRAINING)
    assert_same(weights(model), undisturbed)
    assert not list((tmp_path / "training").iterdir())


def test_four_workers_of_a_stream(job, transformed, tmp_path, monkeypatch, caplog):
    """One file is too few to share out: each reads it and takes its rows."""
    read = examples.read
    with monkeypatch.context() as patch:
        # TFX loads trainer.run anew: what that imports is patched.
        patch.setattr(examples, "read", lambda files, config, _: read(files, config, 0))
        one = weights(transformed("binary").train("stream", strategy="none", **TRAINING))
    ring = {"implementation": "ring", "bytes_per_pack": 1 << 16}
    with caplog.at_level(logging.INFO):
        Loopback(LoopbackWorkers(count=4)).run(job([], streamed=True, communication=ring))
    assert "each reads all and takes its rows" in caplog.text
    assert_same(weights(tmp_path / "model"), one)
    for worker in range(4):
        told = (tmp_path / "scratch" / f"communication-{worker}").read_text()
        assert told == "RING 65536"


def test_workers_and_launcher_are_killed_and_the_model_is_the_same(job, undisturbed, tmp_path):
    faults = [
        {"who": "worker 1", "epoch": 1, "batch": 6},
        {"who": "worker 0", "epoch": 2, "batch": 6},
        {"who": "launcher", "epoch": 3, "batch": 6},
    ]
    asked = tmp_path / "asked.json"
    asked.write_text(job(faults).to_json())
    program = (
        "import pathlib, sys;"
        "from components.distributed_trainer.launch.job import Job;"
        "from components.distributed_trainer.launch.loopback import Loopback;"
        "from components.distributed_trainer.settings import LoopbackWorkers;"
        "Loopback(LoopbackWorkers()).run(Job.from_json(pathlib.Path(sys.argv[1]).read_text()))"
    )
    command = [sys.executable, "-c", program, str(asked)]
    # The workers hold the pipes' other ends: what they wrote ends when the last of them has.
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "model").exists()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    for worker in range(2):
        epochs = (tmp_path / "scratch" / f"epochs-{worker}").read_text().split()
        assert epochs == ["0", "1", "1", "2", "2", "3", "3"]
    assert_same(weights(tmp_path / "model"), undisturbed)


def test_the_pods_of_a_tfjob_of_which_one_is_killed(job, undisturbed, tmp_path):
    """Processes that are given what the pods would be, and nothing else."""
    pod = {
        "image": "plant",
        "volumes": [{"claim": "plant", "path": str(tmp_path)}],
        "env": {"PYTHONPATH": str(HERE), "CUDA_VISIBLE_DEVICES": "", "no_grpc_proxy": "127.0.0.1"},
    }
    settings = TfJobWorkers.model_validate({"shared": str(tmp_path), "pod": pod, "restarts": 1})
    api = KubernetesApi()
    try:
        api.operator.plays = [TrainingOperator.run, TrainingOperator.run]
        # The chief and the first worker have one number; who comes first is killed.
        faults = [{"who": "worker 0", "epoch": 2, "batch": 6}]
        TfJob(settings, cluster=connect(api.url), pace=PACE).run(job(faults))
        assert len(api.manifests) == 2
        assert not api.operator.jobs.items
    finally:
        api.stop()
    epochs = (tmp_path / "scratch" / "epochs-0").read_text().split()
    assert sorted(epochs) == ["0", "0", "1", "1", "2", "2", "2", "2", "3", "3"]
    assert_same(weights(tmp_path / "model"), undisturbed)


def weights(model: pathlib.Path) -> list[np.ndarray]:
    """A SavedModel's trained weights."""
    import tensorflow as tf

    return [variable.numpy() for variable in tf.saved_model.load(str(model)).weights]


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    """Sums of floats in another order: a hundred-thousandth, no more."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
