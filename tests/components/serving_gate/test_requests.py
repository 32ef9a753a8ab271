"""Requests from examples, and what is wrong with answers."""

import re

import numpy as np
import orjson
import pyarrow as pa
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.ingest import examples
from components.serving_gate import answers, requests

TYPES = {
    "pressure": "DT_DOUBLE",
    "age": "DT_INT64",
    "model": "DT_STRING",
    "absent": "DT_DOUBLE",
}
BATCH = pa.record_batch(
    [pa.array([1.5, None, 3.0]), pa.array([7, 8, None]), pa.array(["a", None, "c"])],
    names=["pressure", "age", "model"],
)


def test_rows_become_columns_with_their_marks_for_missing_values() -> None:
    made = requests.columns(examples.flatten(examples.decode(examples.encode(BATCH))), TYPES)
    np.testing.assert_array_equal(made["pressure"], [1.5, np.nan, 3.0])
    assert made["age"].tolist() == [7, 8, -(2**63)]
    assert made["model"].tolist() == [b"a", b"", b"c"]
    assert np.isnan(made["absent"]).all()
    assert [values.dtype.kind for values in made.values()] == ["f", "i", "O", "f"]


def test_each_chunk_is_asked_by_both_signatures() -> None:
    records = examples.encode(BATCH)
    made = requests.make(records, TYPES, 2)
    assert [(r.signature, r.rows) for r in made] == [
        ("serving_default", slice(0, 2)),
        ("predict_columns", slice(0, 2)),
        ("serving_default", slice(2, 3)),
        ("predict_columns", slice(2, 3)),
    ]
    assert made[2].inputs["examples"].tolist() == [records[2]]
    assert made[3].inputs["model"].tolist() == [b"c"]
    assert [r.signature for r in requests.make(records, None, 9)] == ["serving_default"]


def test_messages_and_warm_up_records_hold_what_was_asked() -> None:
    (_, request) = requests.make(examples.encode(BATCH), TYPES, 3)
    message = request.message("plant")
    assert (message.model_spec.name, message.model_spec.signature_name) == (
        "plant",
        "predict_columns",
    )
    assert tf.make_ndarray(message.inputs["age"]).tolist() == [7, 8, -(2**63)]
    (record,) = requests.warmup([message])
    log = prediction_log_pb2.PredictionLog.FromString(record)
    assert log.predict_log.request == message


EXPECTED = {"p": np.array([[0.1, 0.9], [0.4, 0.6]], np.float32), "c": np.array([b"x", b"y"])}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"p": np.array([[0.1, 0.9], [0.4, 0.7]])}, r"p is .* in row 1, and .* \(1 of 2 rows\)"),
        ({"p": np.array([[0.1, np.inf], [0.4, 0.6]])}, "p is .*inf.* in row 0"),
        ({"p": np.array([[0.1, 0.9]])}, r"p has shape \[1, 2\] for 2 rows"),
        ({"p": np.array([0.1, 0.9])}, r"shape \[2\], and \[2, 2\] in process"),
        ({"c": np.array([b"x", b"z"], object)}, "c is b'z' in row 1"),
        ({"q": np.zeros(2)}, "outputs are c, p, q, and c, p in process"),
    ],
)
def test_faults_are_told(change: dict, told: str) -> None:
    (fault,) = answers.faults(EXPECTED, EXPECTED | change, 2, 1e-4)
    assert re.search(told, fault), fault


def test_small_differences_are_none() -> None:
    close = {"p": EXPECTED["p"] + 1e-6, "c": EXPECTED["c"]}
    assert answers.faults(EXPECTED, close, 2, 1e-4) == []


def test_rest_answers_hold_every_class_of_each_row() -> None:
    like = {"all_classes": np.array([[b"a", b"b"], [b"a", b"c"]], object)}
    body = b'{"predictions": [["a", "b"], ["a", "c"]]}'
    assert answers.faults(like, answers.from_rest(body, like), 2, 1e-6) == []
    other = answers.from_rest(body.replace(b'"c"', b'"d"'), like)
    assert answers.faults(like, other, 2, 1e-6)


def test_rest_answers_become_arrays() -> None:
    body = orjson.dumps({"predictions": [{"p": [0.1, 0.9], "c": "x"}, {"p": [0.4, 0.6], "c": "y"}]})
    like = {"p": EXPECTED["p"], "c": EXPECTED["c"].astype(object)}
    assert answers.faults(like, answers.from_rest(body, like), 2, 1e-6) == []
    single = answers.from_rest(b'{"predictions": [1.0, 2.0]}', {"y": np.zeros(2, np.float32)})
    assert single["y"].tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="not a prediction"):
        answers.from_rest(b'{"error": "no"}', like)
