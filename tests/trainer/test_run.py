import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.ingest.examples import encode
from trainer.signatures import MISSING_INTEGER

pytestmark = pytest.mark.tfx

FEATURES = ["temperature", "load", "runs", "model", "site", "age"]
MISSING = {"temperature": math.nan, "model": "", "site": MISSING_INTEGER}


def ask(folder: Path, rows: pa.RecordBatch, names=FEATURES) -> dict[str, np.ndarray]:
    """Asks ``serving_default`` with the given columns only."""
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    batch = pa.RecordBatch.from_arrays([rows.column(n) for n in names], list(names))
    answers = signature(examples=tf.constant(encode(batch)))
    return {name: values.numpy() for name, values in answers.items()}


def ask_columns(folder: Path, rows: pa.RecordBatch, nested: bool) -> dict[str, np.ndarray]:
    signature = tf.saved_model.load(str(folder)).signatures["predict_columns"]
    columns = {}
    for name in FEATURES:
        values = rows.column(name).to_pylist()
        values = [MISSING.get(name) if v is None else v for v in values]
        dtype = signature.structured_input_signature[1][name].dtype
        columns[name] = tf.constant([[v] for v in values] if nested else values, dtype)
    return {name: values.numpy() for name, values in signature(**columns).items()}


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def test_binary_predicts_unseen_rows_without_the_label(model, rows):
    answer = ask(model("binary"), rows)

    labels = rows.column("fails").to_numpy()
    assert answer["probabilities"].shape == (300,)
    assert auc(labels, answer["probabilities"]) > 0.93
    assert answer["classes"].tolist() == (answer["probabilities"] >= 0.5).astype(int).tolist()
    # Class weights must not show in the probabilities.
    assert answer["probabilities"].mean() == pytest.approx(labels.mean(), abs=0.05)


def test_other_columns_in_the_examples_do_no_harm(model, rows):
    answer = ask(model("binary"), rows, rows.schema.names)
    np.testing.assert_array_equal(
        answer["probabilities"], ask(model("binary"), rows)["probabilities"]
    )


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_both_signatures_answer_the_same(model, rows, task, nested):
    by_examples = ask(model(task), rows)
    by_columns = ask_columns(model(task), rows, nested)

    assert set(by_examples) == set(by_columns)
    for name, values in by_examples.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(by_columns[name], values, rtol=1e-5, atol=1e-6)
        else:
            assert by_columns[name].tolist() == values.tolist()


def test_unseen_and_missing_values_are_answered(model):
    rows = pa.RecordBatch.from_pydict(
        {
            "temperature": pa.array([None, 1e30, -1e30], pa.float64()),
            "load": [0.0, math.inf, 1e30],
            "runs": pa.array([None, 2**40, -5], pa.int64()),
            "model": pa.array([None, "never seen", ""]),
            "site": pa.array([None, 123456789, -1], pa.int64()),
            "age": [0, 10**6, -1],
        }
    )
    answer = ask(model("binary"), rows)
    assert np.isfinite(answer["probabilities"]).all()


def test_multiclass_names_the_classes(model, rows):
    answer = ask(model("multiclass"), rows)

    assert answer["probabilities"].shape == (300, 3)
    assert set(answer["all_classes"][0]) == {b"none", b"dirt", b"worn"}
    right = answer["classes"].astype(str) == np.array(rows.column("cause").to_pylist())
    assert right.mean() > 0.8


def test_regression_answers_in_the_labels_own_unit(model, rows):
    predicted = ask(model("regression"), rows)["predictions"]
    labels = rows.column("wear").to_numpy()
    assert np.mean((predicted - labels) ** 2) < 0.35 * np.var(labels)


def test_the_model_answers_in_a_tf1_session(model, rows):
    examples = encode(rows)[:5]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(model("binary")))
        signature = graph.signature_def["serving_default"]
        answer = session.run(
            signature.outputs["probabilities"].name,
            {signature.inputs["examples"].name: examples},
        )
    expected = ask(model("binary"), rows)["probabilities"][:5]
    np.testing.assert_allclose(answer, expected, rtol=1e-5)


def test_the_same_seed_trains_the_same_model(transformed, model, rows):
    again = ask(transformed("binary").train("again"), rows)["probabilities"]
    np.testing.assert_array_equal(again, ask(model("binary"), rows)["probabilities"])
    other = ask(transformed("binary").train("other", seed=2), rows)["probabilities"]
    assert not np.array_equal(again, other)


def test_streamed_training_learns_too(transformed, rows, monkeypatch):
    from trainer import examples

    read = examples.read
    # TFX loads trainer.run anew: what that imports is patched.
    monkeypatch.setattr(examples, "read", lambda files, config, _: read(files, config, 0))
    folder = transformed("binary").train("streamed", strategy="mirrored", cache=True)
    told = json.loads((folder.parents[1] / "run/training.json").read_text())
    assert told["input"] == "stream"
    assert auc(rows.column("fails").to_numpy(), ask(folder, rows)["probabilities"]) > 0.9


def test_mixed_precision_and_no_hidden_layers_train_too(transformed, rows):
    import tf_keras as keras

    folder = transformed("binary").train("mixed", mixed_precision=True, hidden_layers=[])
    answer = ask(folder, rows)["probabilities"]
    assert auc(rows.column("fails").to_numpy(), answer) > 0.9
    assert answer.dtype == np.float32
    assert keras.mixed_precision.global_policy().name == "float32"


def test_train_steps_bound_training(transformed, monkeypatch):
    import tf_keras as keras

    done = []
    fit = keras.Model.fit

    def spy(self, *args, **kwargs):
        history = fit(self, *args, **kwargs)
        done.append(int(self.optimizer.iterations))
        return history

    monkeypatch.setattr(keras.Model, "fit", spy)
    transformed("binary").train("steps", train_steps=30)
    assert done == [30]


def test_a_binary_label_must_be_0_or_1():
    from trainer.examples import _check_labels
    from trainer.features import Config

    config = Config.read(
        {"config": {"label": {"name": "y", "task": "binary"}, "features": {"numeric": ["x"]}}}
    )
    with pytest.raises(ValueError, match="label 'y' is 3 in an example: a binary label is 0 or 1"):
        _check_labels(config, np.array([0, 1, 3], np.float32))
    with pytest.raises(ValueError, match="label 'y' is missing in 1 of 2 examples"):
        _check_labels(config, np.array([0, np.nan], np.float32))


def test_progress_is_written_for_tensorboard(model):
    run = model("binary").parents[1] / "run"
    events = [
        event
        for path in run.glob("train/events.out.tfevents.*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
    ]
    assert [event for event in events if event.graph_def]
    assert "epoch_loss" in {value.tag for event in events for value in event.summary.value}
    assert (model("binary") / "saved_model.pb").exists()
