"""Tuner on examples that Transform took, and Trainer with what it found."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.model_evaluator.metrics import METRICS
from components.tuner import hyperparameters
from components.tuner.settings import TunerSettings

pytestmark = pytest.mark.tfx

SETTINGS = TunerSettings(
    trials=4,
    parallel=2,
    validation=0.25,
    metric="auc",
    better="higher",
    split="time",
    time="time",
    entity="machine_id",
    horizon=24 * 3_600_000_000,
    space={
        "learning_rate": {"min": 0.00001, "max": 0.01, "log": True},
        "hidden_layers": [[16], [4]],
        "epochs": {"min": 2, "max": 4},
    },
)


def tune(transformed, custom_config, folder: Path, settings: TunerSettings = SETTINGS) -> dict:
    """Runs Tuner's executor; its report."""
    from tfx.types import standard_artifacts as kinds

    from components.ingest.examples import fill_examples_artifact
    from components.tuner.executor import Executor

    joined, best, results = kinds.Examples(), kinds.HyperParameters(), kinds.TunerResults()
    joined.uri = str(transformed.folder / "examples")
    fill_examples_artifact(joined, ["train", "eval"])
    best.uri, results.uri = str(folder / "best"), str(folder / "results")
    settings = settings.model_copy(update={"directory": str(folder / "searches")})
    Executor().Do(
        {"examples": [joined], "transform_graph": [transformed.graph]},
        {"best_hyperparameters": [best], "tuner_results": [results]},
        {
            "settings": settings.model_dump_json(),
            "custom_config": json.dumps(custom_config(transformed.task)),
            "code": "12ab",
        },
    )
    return dict(json.loads((folder / "results/report.json").read_text(encoding="utf-8")))


class BuiltError(Exception):
    """The model would have been built."""


def test_it_finds_what_trainer_then_trains_with(
    transformed, custom_config, tmp_path, monkeypatch
) -> None:
    from tfx.components.trainer.executor import GenericExecutor
    from tfx.types import standard_artifacts as kinds

    from pipeline.history import Output
    from pipeline.local import summaries

    data = transformed("binary")
    report = tune(data, custom_config, tmp_path)
    # 1600 hourly rows: the latest quarter, and a day before it that is left out.
    assert report["examples"] == {"fit": 1176, "validation": 400}
    assert len(report["trials"]) == 4
    # The settings' own come first, as far as they are in the space.
    first = report["trials"][0]["hyperparameters"]
    assert first == {"learning_rate": 0.01, "hidden_layers": [16], "epochs": 4}
    assert report["best"]["value"] == max(t["value"] for t in report["trials"]) > 0.9
    assert len(list((tmp_path / "searches").glob("*.db"))) == 1
    line = summaries.of([Output("tuner_results", "TunerResults", tmp_path / "results")])
    assert line.startswith("4 trials") and "best auc 0.9" in line

    found = hyperparameters.read(tmp_path / "best")
    assert found == report["best"]["hyperparameters"]
    built = []

    def build(config, *rest):
        built.append(config.training)
        raise BuiltError

    # Trainer loads its module anew, so that what it imports is what can be replaced.
    monkeypatch.setattr("trainer.model.build", build)
    model, run, best = kinds.Model(), kinds.ModelRun(), kinds.HyperParameters()
    model.uri, run.uri, best.uri = (str(tmp_path / n) for n in ("model", "run", "best"))
    inputs = {"examples": data.examples, "transform_graph": data.graph, "hyperparameters": best}
    with pytest.raises(BuiltError):
        GenericExecutor().Do(
            {name: [artifact] for name, artifact in inputs.items()},
            {"model": [model], "model_run": [run]},
            {
                "train_args": json.dumps({"num_steps": 0}),
                "eval_args": "{}",
                "run_fn": "trainer.run.run_fn",
                "custom_config": json.dumps(custom_config("binary")),
            },
        )
    (training,) = built
    assert training.learning_rate == found["learning_rate"]
    assert training.hidden_layers == tuple(found["hidden_layers"])
    assert (training.epochs, training.batch_size) == (found["epochs"], 64)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_metric_that_is_better_one_way_can_be_tuned_for(task) -> None:
    import tensorflow as tf

    from trainer import objective
    from trainer.features import Config
    from trainer.model import Target

    config = Config.read(
        {"config": {"label": {"name": "y", "task": task}, "features": {"numeric": ["x"]}}}
    )
    labels = {
        "binary": np.array([0, 1, 1, 0], np.float32),
        "multiclass": np.array([0, 2, -1, 1], np.int64),
        "regression": np.array([1.0, 2.0, 4.0, 8.0], np.float32),
    }[task]
    target = Target.measure(task, np.maximum(labels, 0), 3, False)
    # Two members that agree, and are right but for the third example.
    right = {
        "binary": np.array([-4.0, 4.0, -0.1, -1.0]),
        "multiclass": np.log([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [1, 1, 1], [0.1, 0.8, 0.1]]),
        "regression": (np.array([1.0, 2.0, 5.0, 8.0]) - target.mean) / target.scale,
    }[task]
    outputs = tf.constant(np.stack([right, right], axis=1), tf.float32)
    names = {n for n, m in METRICS.items() if m.better and task in m.tasks}
    measured = {
        n: objective.measure(n, config, target, labels, outputs)
        for n in names
        if n in objective.METRICS
    }
    assert set(measured) == names
    expected = {
        "binary": {"auc": 1.0, "binary_accuracy": 0.75, "precision": 1.0, "recall": 0.5},
        "multiclass": {"accuracy": 1.0, "cross_entropy": -np.log(0.8)},
        "regression": {
            "mean_absolute_error": 0.25,
            "root_mean_squared_error": 0.5,
            "squared_pearson_correlation": np.corrcoef([1, 2, 4, 8], [1, 2, 5, 8])[0, 1] ** 2,
        },
    }[task]
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, abs=1e-3), name


def test_a_search_learns_nothing_from_eval(transformed, custom_config, tmp_path) -> None:
    from components.ingest import examples
    from components.tuner.executor import part_examples

    files = examples.split_files(str(transformed("binary").folder / "examples"), "train")
    part = part_examples(files, SETTINGS)
    times = examples.read_table(files).column("time").to_numpy()
    assert len(part) == len(times)
    assert times[part == 0].max() + SETTINGS.horizon < times[part == 1].min()
    by_entity = part_examples(files, SETTINGS.model_copy(update={"split": "entity"}))
    machines = examples.read_table(files).column("machine_id").to_numpy()
    assert not set(machines[by_entity == 0]) & set(machines[by_entity == 1])
