"""ServingGate as a TFX component: what it takes, and what its executor leaves."""

import json
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx import types
from tfx.types import standard_artifacts

from components.ingest import examples
from components.serving_gate.component import ServingGate
from components.serving_gate.executor import Executor
from components.serving_gate.predictions import answer_table
from components.serving_gate.settings import GateSettings
from serving.releases import PREDICTIONS
from tests.components.serving_gate.models import ROWS, Halves, records

pytestmark = pytest.mark.tfx
SETTINGS = GateSettings(model="plant", rate=20, seconds=1, examples=10, latency_p99_ms=1_000)


def test_spec() -> None:
    gate = ServingGate(
        model=types.Channel(type=standard_artifacts.Model),
        examples=types.Channel(type=standard_artifacts.Examples),
        settings=SETTINGS.model_dump_json(),
        code="12ab",
    )
    assert gate.outputs["blessing"].type is standard_artifacts.InfraBlessing


def test_executor_blesses(tmp_path: pathlib.Path) -> None:
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    module = Halves(lambda y: y)
    signatures = {"serving_default": module.serve, "predict_columns": module.columns}
    tf.saved_model.save(module, f"{model.uri}/Format-Serving", signatures=signatures)
    joined = standard_artifacts.Examples()
    joined.uri = str(tmp_path / "examples")
    examples.fill_examples_artifact(joined, ["train", "eval"])
    path = f"{examples.split_folder(joined.uri, 'eval')}/{examples.shard_name(0, 1)}"
    with examples.ShardWriter(path) as writer:
        writer.write_records(records())
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(tmp_path / "blessing")
    Executor().Do(
        {"model": [model], "examples": [joined]},
        {"blessing": [blessing]},
        {"settings": SETTINGS.model_dump_json(), "code": "12ab"},
    )
    report = json.loads((tmp_path / "blessing/report.json").read_text())
    assert report["blessed"], report
    assert report["measured"]["checked"] == 30
    assert blessing.get_int_custom_property("blessed") == 1
    stored = tmp_path / "blessing/stored_model"
    assert (stored / "saved_model.pb").exists()
    # Answers for all of the split, beyond the examples that were compared.
    answers = pq.read_table(stored / PREDICTIONS)["predictions"].to_pylist()
    x = np.linspace(-3, 3, ROWS)
    halves = [2.0 if i % 7 == 0 else v / 2 + 2 for i, v in enumerate(x)]
    assert answers == pytest.approx(halves, rel=1e-5)


def test_answers_of_any_shape_are_columns() -> None:
    table = answer_table(
        {
            "probabilities": np.array([[0.25, 0.75]], np.float32),
            "classes": np.array([b"a"], object),
            "all_classes": np.array([[b"a", b"b"]], object),
            "score": np.array([[1.5]]),
        }
    )
    assert table.to_pylist() == [
        {"classes": b"a", "probabilities_0": 0.25, "probabilities_1": 0.75, "score": 1.5}
    ]
