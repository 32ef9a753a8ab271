"""A small plant, its settings, and the examples that training makes of it."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

import pyarrow as pa
import pytest
import yaml
from tfx.types import standard_artifacts

from components.ingest.artifacts import QualityReport, Quarantine
from components.ingest.durations import format_duration
from components.ingest.examples import read_table, split_files
from components.ingest.sources import SqlSource
from components.ingest.split import DataWindow, read_window
from components.point_in_time_join.executor import Executor as JoinExecutor
from components.sensor_example_gen.executor import Executor as SensorExecutor
from components.sql_example_gen.executor import Executor as SqlExecutor
from demo.write import make_plant
from pipeline.settings import Settings, load_settings
from tests import demo_project

ROOT = pathlib.Path(__file__).resolve().parents[3]
BEAM = ["--runner=FnApiRunner", "--sdk_container_image=none"]
AS_OF = "2025-02-08T00:00:00Z"


@dataclasses.dataclass
class Plant:
    """A plant's folder and settings."""

    folder: pathlib.Path
    settings_file: pathlib.Path
    settings: Settings

    @property
    def window(self) -> DataWindow:
        """The stretch of time that training's run covers."""
        return read_window(AS_OF, *self._split)

    @property
    def _split(self) -> tuple[str, str]:
        return self.settings.split.model_dump_json(), format_duration(self.settings.label.horizon)

    def trained(self) -> pa.Table:
        """What training's components read and join, run as the pipeline runs them."""
        settings, read = self.settings, {}
        split, horizon = self._split
        for name, source in settings.sources.items():
            is_sql = isinstance(source, SqlSource)
            outputs = {"examples": standard_artifacts.Examples(), "report": QualityReport()}
            if not is_sql:
                outputs["quarantine"] = Quarantine()
            what = {
                "name": name,
                "source": source.model_dump_json(),
                "as_of": AS_OF,
                "split": split,
                "horizon": horizon,
                "watermark": "",
                "spine": int(name == settings.spine),
            }
            self._run(SqlExecutor if is_sql else SensorExecutor, name, {}, outputs, what)
            read[name] = outputs["examples"]
        spine = read.pop(settings.spine)
        inputs = {"spine": [spine]} | {f"source_{name}": [made] for name, made in read.items()}
        outputs = {"examples": standard_artifacts.Examples(), "report": QualityReport()}
        what = {"settings": settings.join_settings(), "as_of": AS_OF, "code": ""}
        self._run(JoinExecutor, "join", inputs, outputs, what)
        uri = outputs["examples"].uri
        files = [file for part in ("train", "eval") for file in split_files(uri, part)]
        return read_table(files)

    def _run(self, executor, name, inputs, outputs, what) -> None:
        for key, artifact in outputs.items():
            artifact.uri = str(self.folder / "artifacts" / name / key)
        context = executor.Context(
            beam_pipeline_args=BEAM, tmp_dir=str(self.folder / "artifacts/tmp")
        )
        executor(context).Do(inputs, {key: [made] for key, made in outputs.items()}, what)


def make(folder: pathlib.Path) -> Plant:
    """Writes a plant of six machines over forty days, and settings fitted to it."""
    make_plant(folder / "var/demo", machines=6, days=40, seed=3)
    settings = yaml.safe_load(demo_project.SETTINGS.read_text())
    settings["as_of"] = AS_OF
    settings["split"] = {"by": "time", "train": "24d", "eval": "9d"}
    settings["schema"] = str(demo_project.SCHEMA)
    for source in settings["sources"].values():
        if source["kind"] == "sql":
            source["url"] = f"sqlite:///{folder}/var/demo/plant.db"
            source.pop("url_env", None)
        else:
            source["path"] = [f"{folder}/{path}" for path in source["path"]]
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    return Plant(folder, file, load_settings(file))


@pytest.fixture(scope="session")
def plant(tmp_path_factory) -> Plant:
    """The plant; no test changes it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return make(tmp_path_factory.mktemp("online"))


@pytest.fixture(scope="session")
def trained(plant) -> pa.Table:
    """Training's joined examples, both splits."""
    return plant.trained()


MODEL = "plant-failures"


def save_model(folder: pathlib.Path, version: int) -> pathlib.Path:
    """A SavedModel that answers ``predict_columns`` from four of the plant's columns."""
    import tensorflow as tf

    columns = {
        "operating_hours": tf.float64,
        "telemetry_temperature_mean_3h": tf.float64,
        "errors_error_id_count_3d": tf.float64,
        "model": tf.string,
    }

    class Model(tf.Module):
        @tf.function(
            input_signature=[{n: tf.TensorSpec(None, d, name=n) for n, d in columns.items()}]
        )
        def predict_columns(self, columns):
            warmth = columns["telemetry_temperature_mean_3h"]
            warmth = tf.where(tf.math.is_nan(warmth), tf.zeros_like(warmth), warmth)
            old = tf.where(tf.equal(columns["model"], "A10"), 1.0, 0.0)
            score = warmth / 50 + columns["operating_hours"] / 1e5 - tf.cast(old, tf.float64)
            score += columns["errors_error_id_count_3d"] / 10
            probabilities = tf.cast(tf.math.sigmoid(score - 1), tf.float32)
            classes = tf.cast(probabilities >= 0.5, tf.int64)
            return {"probabilities": probabilities, "classes": classes}

    model = Model()
    staged = folder / f"staged-{version}"
    tf.saved_model.save(model, str(staged), signatures={"predict_columns": model.predict_columns})
    return staged.rename(folder / str(version))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> pathlib.Path:
    """A model's folder with version 7."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder, 7)
    return folder


@pytest.fixture(scope="session")
def served(model_folder, tmp_path_factory):
    """The embedded server over that model: the ports of REST and gRPC."""
    scratch = tmp_path_factory.mktemp("server")
    ready = scratch / "ready.json"
    command = [sys.executable, "-m", "serving.server.process"]
    command += ["--model-name", MODEL, "--model-base-path", str(model_folder)]
    command += ["--port", "0", "--rest-api-port", "0", "--ready-file", str(ready)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not ready.exists():
            assert process.poll() is None, (scratch / "log").read_text()
            assert time.monotonic() < deadline, (scratch / "log").read_text()
            time.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait(30)
