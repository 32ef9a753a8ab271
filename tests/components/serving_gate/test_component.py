"""ServingGate as a TFX component: what it takes, and what its executor leaves."""

import json
import pathlib

import pytest
import tensorflow as tf
from tfx import types
from tfx.types import standard_artifacts

from components.ingest import examples
from components.serving_gate.component import ServingGate
from components.serving_gate.executor import Executor
from components.serving_gate.settings import GateSettings
from tests.components.serving_gate.models import Halves, records

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
    assert (tmp_path / "blessing/stored_model/saved_model.pb").exists()
