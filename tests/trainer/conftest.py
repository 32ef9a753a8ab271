"""A small data set with every kind of feature and label, and the components run on it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

SPLITS = {"train": 1600, "eval": 600}

FEATURES = {
    "numeric": ["temperature", "load", "runs"],
    "categorical": {
        "model": {"vocabulary": 2, "oov_buckets": 1},
        "site": {"vocabulary": 50, "oov_buckets": 1},
    },
    "bucketized": {"age": {"buckets": 4}},
}
TRAINING = {"epochs": 4, "batch_size": 64, "hidden_layers": [16], "learning_rate": 0.01}
LABELS = {"binary": "fails", "multiclass": "cause", "regression": "wear"}


def config(task: str, **training: object) -> dict:
    """The components' custom_config for a task."""
    label = {"name": LABELS[task], "task": task}
    return {"config": {"label": label, "features": FEATURES, "training": {**TRAINING, **training}}}


def columns(rows: int, seed: int) -> pa.RecordBatch:
    """Random rows; the label hangs on temperature, model and load."""
    random = np.random.default_rng(seed)
    temperature = random.normal(60, 10, rows)
    load = random.exponential(2.0, rows)
    model = random.choice(["m1", "m2", "m3", "m4"], rows, p=[0.5, 0.3, 0.15, 0.05])
    risk = (temperature - 60) / 10 + 1.5 * (model == "m2") + 0.3 * load
    noise = random.normal(0, 0.3, rows)
    gone = random.random(rows) < 0.1
    return pa.RecordBatch.from_pydict(
        {
            "machine_id": random.integers(1, 9, rows),
            "time": np.arange(rows, dtype=np.int64) * 3_600_000_000,
            "temperature": pa.array(temperature, mask=gone),
            "load": load,
            "runs": random.integers(0, 5, rows),
            "model": pa.array(model, mask=random.random(rows) < 0.05),
            "site": random.integers(1, 41, rows) * 100,
            "age": random.integers(0, 30, rows),
            "fails": (risk + noise > 2.2).astype(np.int64),
            "cause": np.where(risk + noise > 2.2, "worn", np.where(model == "m1", "none", "dirt")),
            "wear": (20 + 5 * risk + noise).astype(np.float32),
        }
    )


ALWAYS = "presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }"
SCALAR = "presence { min_fraction: 1 min_count: 1 } shape { }"
SOMETIMES = "presence { min_count: 1 } value_count { min: 1 max: 1 }"
KINDS = {
    "machine_id": f"type: INT {ALWAYS}",
    "time": f"type: INT {ALWAYS}",
    "temperature": f"type: FLOAT {SOMETIMES}",
    "load": f"type: FLOAT {ALWAYS}",
    "runs": f"type: INT {SOMETIMES}",
    "model": f"type: BYTES {SOMETIMES}",
    "site": f"type: INT {SOMETIMES}",
    "age": f"type: INT {SCALAR}",
    "fails": f"type: INT {ALWAYS}",
    "cause": f"type: BYTES {SOMETIMES}",
    "wear": f"type: FLOAT {ALWAYS}",
}
SCHEMA = "\n".join(f'feature {{ name: "{name}" {kind} }}' for name, kind in KINDS.items())


@dataclasses.dataclass
class Transformed:
    """What Transform made, and how to train on it."""

    task: str
    examples: object
    graph: object
    folder: Path

    def train(
        self, name: str, train_steps: int = 0, workers: int | None = None, **training: object
    ) -> Path:
        """Runs the Trainer's executor; the SavedModel's folder."""
        from tfx.types import standard_artifacts as kinds
        from tfx.utils import path_utils

        from components.distributed_trainer.executor import Executor

        custom_config = config(self.task, **training)
        if workers is not None:
            custom_config["workers"] = workers
        model, run = kinds.Model(), kinds.ModelRun()
        model.uri, run.uri = str(self.folder / name / "model"), str(self.folder / name / "run")
        Executor().Do(
            {"examples": [self.examples], "transform_graph": [self.graph]},
            {"model": [model], "model_run": [run]},
            {
                "train_args": json.dumps({"num_steps": train_steps}),
                "eval_args": "{}",
                "run_fn": "trainer.run.run_fn",
                "custom_config": json.dumps(custom_config),
            },
        )
        return Path(path_utils.serving_model_dir(model.uri))


def transform(folder: Path, task: str) -> Transformed:
    """Writes the examples and runs the Transform's executor on them."""
    from tfx.types import standard_artifacts as kinds

    from components.ingest.examples import ShardWriter, fill_examples_artifact, shard_name
    from components.transform.executor import Executor

    artifacts = {}
    for name, kind in (
        ("examples", kinds.Examples),
        ("schema", kinds.Schema),
        ("transform_graph", kinds.TransformGraph),
        ("transformed_examples", kinds.Examples),
        ("updated_analyzer_cache", kinds.TransformCache),
    ):
        artifacts[name] = kind()
        artifacts[name].uri = str(folder / name)
        (folder / name).mkdir(parents=True)
    for seed, (split, rows) in enumerate(SPLITS.items()):
        (folder / "examples" / f"Split-{split}").mkdir()
        with ShardWriter(f"{folder}/examples/Split-{split}/{shard_name(0, 1)}") as writer:
            writer.write(columns(rows, seed))
    fill_examples_artifact(artifacts["examples"], list(SPLITS))
    (folder / "schema" / "schema.pbtxt").write_text(SCHEMA)
    Executor(
        Executor.Context(
            beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=none"],
            tmp_dir=str(folder / "tmp"),
            unique_id="1",
        )
    ).Do(
        {"examples": [artifacts["examples"]], "schema": [artifacts["schema"]]},
        {
            name: [artifacts[name]]
            for name in ("transform_graph", "transformed_examples", "updated_analyzer_cache")
        },
        {
            "preprocessing_fn": "trainer.preprocessing.preprocessing_fn",
            "custom_config": json.dumps(config(task)),
            "disable_statistics": 1,
            "force_tf_compat_v1": 0,
        },
    )
    return Transformed(
        task, artifacts["transformed_examples"], artifacts["transform_graph"], folder
    )


@pytest.fixture(scope="session")
def transformed(tmp_path_factory):
    """What Transform made for a task, made once."""
    made = {}

    def get(task: str) -> Transformed:
        if task not in made:
            made[task] = transform(tmp_path_factory.mktemp(task), task)
        return made[task]

    return get


@pytest.fixture(scope="session")
def model(transformed):
    """The folder of a task's SavedModel, trained once."""
    made = {}

    def get(task: str) -> Path:
        if task not in made:
            made[task] = transformed(task).train("model")
        return made[task]

    return get


@pytest.fixture(scope="session")
def rows() -> pa.RecordBatch:
    """Rows that no model was trained on."""
    return columns(300, 7)


@pytest.fixture(scope="session")
def custom_config():
    """Makes the components' custom_config for a task."""
    return config
