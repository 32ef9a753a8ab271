"""Several devices, precisions and interrupted runs come to the model that one plain run makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer import record, resume

pytestmark = pytest.mark.tfx

PLAIN = {"dropout": 0.0, "epochs": 4, "batch_size": 99, "early_stopping_patience": 9}
SPLIT = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
made = tf.distribute.MirroredStrategy
tf.distribute.MirroredStrategy = lambda: made(["CPU:0", "CPU:1"])
sys.path.insert(0, sys.argv[1])
import json
from tests.trainer.conftest import Transformed
from tfx.types import standard_artifacts as kinds
examples, graph = kinds.Examples(), kinds.TransformGraph()
told = json.load(open(sys.argv[2]))
examples.uri, graph.uri = told["examples"], told["graph"]
examples.split_names = '["train", "eval"]'
from pathlib import Path
transformed = Transformed("binary", examples, graph, Path(told["folder"]))
for name in ("split", "again"):
    transformed.train(name, **told["training"])
"""


def weights(model: Path) -> dict[str, np.ndarray]:
    """The SavedModel's variables."""
    reader = tf.train.load_checkpoint(str(model / "variables/variables"))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith("weights/")]
    assert names
    return {name: reader.get_tensor(name) for name in names}


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], atol: float) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-3, atol=atol, err_msg=name)


def told(model: Path) -> dict:
    return json.loads((model.parents[1] / "run" / record.FILE).read_text())


@pytest.fixture(scope="module")
def plain(transformed) -> Path:
    return transformed("binary").train("plain", strategy="none", **PLAIN)


def test_a_run_tells_of_itself(plain):
    run_told = told(plain)
    assert run_told["strategy"]["chosen"] == "none"
    assert run_told["strategy"]["why"] == "training.strategy says so"
    assert (run_told["global_batch"], run_told["precision"]) == (99, "float32")
    assert [epoch["epoch"] for epoch in run_told["epochs"]] == [1, 2, 3, 4]
    last = run_told["epochs"][-1]
    assert {"loss", "val_loss", "val_auc"} <= set(last["metrics"])
    assert 0 < last["step_seconds"]["p50"] <= last["step_seconds"]["p99"]
    assert 0 < last["input_wait_seconds"]["total"] < last["step_seconds"]["total"]
    assert last["examples_per_second"] > 0 and run_told["input_examples_per_second"] > 0
    assert run_told["restored_epoch"] is None and 1 <= run_told["best_epoch"] <= 4


def test_two_devices_come_to_the_same_weights_and_to_the_same_bits_again(
    transformed, plain, tmp_path
):
    """They take 49 and 50 examples of a batch of 99, each of which weighs alike."""
    made = transformed("binary")
    job = {
        "examples": made.examples.uri,
        "graph": made.graph.uri,
        "folder": str(tmp_path),
        "training": {"strategy": "mirrored", "deterministic": True, **PLAIN},
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", SPLIT, root, str(tmp_path / "job.json")],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    model = tmp_path / "split/model/Format-Serving"
    assert told(model)["strategy"]["replicas"] == 2
    assert told(model)["deterministic"]
    assert_same(weights(model), weights(plain), 2e-4)
    again = weights(tmp_path / "again/model/Format-Serving")
    for name, values in weights(model).items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)


def test_bfloat16_learns_as_well(transformed, plain):
    model = transformed("binary").train("bfloat16", mixed_precision="bfloat16", **PLAIN)
    assert told(model)["precision"] == "mixed_bfloat16"
    best = [
        max(epoch["metrics"]["val_auc"] for epoch in told(path)["epochs"])
        for path in (model, plain)
    ]
    assert best[0] > best[1] - 0.02


def test_an_interrupted_run_ends_as_if_it_had_not_been(transformed, plain, tmp_path, monkeypatch):
    class StopError(RuntimeError):
        pass

    class Stopping(resume.Heartbeat):
        """Comes after all others: in epoch 3's second batch, and once epoch 4 is backed up."""

        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self.epoch == 2 and batch == 1 and not stopped:
                stopped.append("batch")
                raise StopError

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            super().on_epoch_begin(epoch, logs)

        def on_epoch_end(self, epoch, logs=None):
            if epoch == 3:
                stopped.append("epoch")
                raise StopError

    stopped = []
    monkeypatch.setenv(resume.BACKUP, str(tmp_path / "backup"))
    monkeypatch.setenv(resume.HEARTBEAT, str(tmp_path / "beat"))
    with monkeypatch.context() as patch:
        # TFX loads trainer.run anew: what that imports is patched.
        patch.setattr(resume, "Heartbeat", Stopping)
        for _ in range(2):
            with pytest.raises(StopError):
                transformed("binary").train("stopped", strategy="none", **PLAIN)
    assert stopped == ["batch", "epoch"]
    assert (tmp_path / "beat").exists()
    model = transformed("binary").train("resumed", strategy="none", **PLAIN)
    assert told(model)["restored_epoch"] == 4
    assert [epoch["epoch"] for epoch in told(model)["epochs"]] == [1, 2, 3, 4]
    assert told(model)["lost_seconds"] > 0 == told(plain)["lost_seconds"]
    assert told(model)["best_epoch"] == told(plain)["best_epoch"]
    assert_same(weights(model), weights(plain), 1e-5)
    assert not list((tmp_path / "backup").iterdir())


def test_the_learning_rate_of_a_larger_batch():
    from trainer.features import Training

    rates = {
        rule: Training(batch_size=1024, learning_rate_scaling=rule).scaled_learning_rate
        for rule in ("none", "linear", "sqrt")
    }
    assert rates == pytest.approx({"none": 0.001, "linear": 0.004, "sqrt": 0.002})
