"""What steps wait for their input is counted, and nothing else is."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from trainer import record, waiting
from trainer.examples import hold
from trainer.features import Config
from trainer.model import Target, build, compile_model
from trainer.record import Record
from trainer.resume import EarlyStopping
from trainer.strategy import place

pytestmark = pytest.mark.tfx

ROWS, BATCH, EPOCHS = 300, 64, 2
STEPS = 5


def trained(monkeypatch, tmp_path, slow: float, **training: object) -> tuple[list, dict]:
    """A model's weights, and its record, by a clock that stands still but where input is read."""
    now = 100.0

    def reading() -> float:
        nonlocal now
        now += slow
        return 0.0

    def read(*batch):
        with tf.control_dependencies([tf.py_function(reading, [], tf.float32)]):
            return tf.nest.map_structure(tf.identity, batch)

    monkeypatch.setattr(waiting, "time", types.SimpleNamespace(perf_counter=lambda: now))
    options = {"batch_size": BATCH, "hidden_layers": [8], "dropout": 0.0, **training}
    config = Config.read(
        {
            "config": {
                "label": {"name": "y", "task": "binary"},
                "features": {"numeric": ["a", "b"]},
                "training": options,
            }
        }
    )
    random = np.random.default_rng(1)
    numbers = random.normal(size=(ROWS, 2)).astype(np.float32)
    columns = {"numeric": numbers, "rank": 1 / (1 + np.exp(-numbers)), "missing": 0 * numbers}
    examples = hold(columns | {"label": (numbers[:, :1] > 0.3).astype(np.float32)}, config)
    target = Target.measure("binary", examples.labels, 0, True)
    keras.utils.set_random_seed(1)
    model = build(config, [], target)
    model.clock = waiting.InputClock()
    compile_model(model, config, EPOCHS * STEPS)
    # On demand: what is fetched ahead is not waited for.
    on_demand = tf.data.Options()
    on_demand.autotune.enabled = False
    dataset = examples.training(config, target, place("none", environment={})).map(read)
    told = Record(str(tmp_path), {}, ROWS, model.clock)
    model.fit(
        dataset.with_options(on_demand),
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
        callbacks=[told],
        verbose=0,
    )
    return model.get_weights(), json.loads((tmp_path / record.FILE).read_text())


def test_a_slow_input_is_waited_for_and_a_fast_one_is_not(monkeypatch, tmp_path):
    _, slow = trained(monkeypatch, tmp_path, 0.25)
    _, fast = trained(monkeypatch, tmp_path, 0.0)
    for entry in slow["epochs"]:
        waited = entry["input_wait_seconds"]
        assert waited == {"total": 0.25 * STEPS, "mean": 0.25, "p50": 0.25, "p99": 0.25}
    for entry in fast["epochs"]:
        assert set(entry["input_wait_seconds"].values()) == {0.0}
        assert entry["step_seconds"]["total"] > 0


def test_xla_trains_to_the_same(monkeypatch, tmp_path):
    plain, _ = trained(monkeypatch, tmp_path, 0.0)
    compiled, _ = trained(monkeypatch, tmp_path, 0.0, xla=True)
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_run_that_had_stopped_early_is_over(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    stopping = EarlyStopping(1, str(tmp_path), writes=True)
    stopping.set_model(model)
    stopping.on_train_begin()
    best = model.get_weights()
    stopping.on_epoch_end(0, {"val_loss": 1.0})
    assert not EarlyStopping(1, str(tmp_path), first=1).was_over
    model.set_weights([weight + 1 for weight in best])
    stopping.on_epoch_end(1, {"val_loss": 2.0})
    again = EarlyStopping(1, str(tmp_path), first=2)
    assert again.was_over
    again.set_model(model)
    again.on_train_begin()
    again.on_train_end()
    np.testing.assert_array_equal(model.get_weights()[0], best[0])
    assert (again.best_epoch, again.stopped_epoch) == (0, 1)
