import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.examples import ShardWriter, fill_examples_artifact, shard_name
from components.model_evaluator.component import Evaluator
from components.model_evaluator.config import eval_config
from components.model_evaluator.executor import Executor
from components.model_evaluator.metrics import supported_metrics
from components.model_evaluator.report import read_evaluation, read_plots

pytestmark = pytest.mark.tfx

CLASSES = [10, 20, 30]
SCHEMA = "\n".join(
    f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 min_count: 1 }} '
    "shape { dim { size: 1 } } }"
    for name, kind in (
        ("score", "FLOAT"),
        ("noise", "FLOAT"),
        ("model", "BYTES"),
        ("fails", "INT"),
        ("cause", "INT"),
        ("wear", "FLOAT"),
    )
)
LABELS = {"binary": "fails", "multiclass": "cause", "regression": "wear"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Examples and their schema."""
    from tfx.types import standard_artifacts

    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    score = random.normal(size=800)
    truth = score + random.normal(0, 0.5, 800)
    examples, schema = standard_artifacts.Examples(), standard_artifacts.Schema()
    examples.uri, schema.uri = str(folder / "examples"), str(folder / "schema")
    (folder / "examples" / "Split-eval").mkdir(parents=True)
    with ShardWriter(f"{examples.uri}/Split-eval/{shard_name(0, 1)}") as writer:
        writer.write(
            pa.RecordBatch.from_pydict(
                {
                    "score": score,
                    "noise": random.normal(size=800),
                    "model": random.choice(["m1", "m2"], 800),
                    "fails": (truth > 0.5).astype(np.int64),
                    "cause": np.array(CLASSES)[np.digitize(truth, [-0.5, 0.5])],
                    "wear": truth,
                }
            )
        )
    fill_examples_artifact(examples, ["eval"])
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(SCHEMA)
    return examples, schema


def save(folder: Path, column: str, task: str = "binary", factor: float = 2.0) -> Path:
    """A model that believes in one column."""
    import tensorflow as tf

    specs = {column: tf.io.FixedLenFeature([1], tf.float32)}
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples):
        value = tf.io.parse_example(examples, specs)[column][:, 0]
        if task == "regression":
            return {"predictions": value}
        if task == "binary":
            return {"probabilities": tf.sigmoid(factor * value - 1)}
        logits = tf.stack([-value, 0.5 - tf.abs(value), value], axis=1) * factor
        names = tf.constant([str(name) for name in CLASSES])
        return {
            "probabilities": tf.nn.softmax(logits),
            "classes": tf.gather(names, tf.argmax(logits, 1)),
            "all_classes": tf.tile(names[tf.newaxis], [tf.shape(logits)[0], 1]),
        }

    tf.saved_model.save(module, str(folder / "Format-Serving"), {"serving_default": serve})
    return folder


def evaluate(folder: Path, data, candidate: Path, champion: Path | None, metrics, task="binary"):
    """Runs the executor; the report and the blessing's files."""
    from tfx.types import channel, standard_artifacts

    if champion is None:
        champion = folder / "champion"
        champion.mkdir()
        (champion / "champion.json").write_text('{"version": null}')
    elif not (champion / "champion.json").exists():
        (champion / "champion.json").write_text('{"version": 6}')
    inputs = {
        "examples": data[0],
        "schema": data[1],
        "model": standard_artifacts.Model(),
        "baseline_model": standard_artifacts.Model(),
    }
    inputs["model"].uri, inputs["baseline_model"].uri = str(candidate), str(champion)
    outputs = {
        "evaluation": standard_artifacts.ModelEvaluation(),
        "blessing": standard_artifacts.ModelBlessing(),
    }
    for name, artifact in outputs.items():
        artifact.uri = str(folder / name)
    component = Evaluator(
        **{name: channel.Channel(type=type(artifact)) for name, artifact in inputs.items()},
        eval_config=eval_config(LABELS[task], task, {"metrics": metrics, "slices": [["model"]]}),
        code="c",
    )
    context = Executor.Context(
        beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=none"],
        tmp_dir=str(folder / "tmp"),
        unique_id="1",
    )
    Executor(context).Do(
        {name: [artifact] for name, artifact in inputs.items()},
        {name: [artifact] for name, artifact in outputs.items()},
        {
            **component.exec_properties,
            "eval_config": _json(component.exec_properties["eval_config"]),
        },
    )
    files = [path.name for path in (folder / "blessing").iterdir()]
    report = read_evaluation(str(folder / "evaluation"))
    assert files == ["BLESSED" if report["blessed"] else "NOT_BLESSED"]
    assert outputs["blessing"].get_int_custom_property("blessed") == report["blessed"]
    return report


def _json(value: object) -> str:
    if isinstance(value, str):
        return value
    from google.protobuf import json_format

    return json_format.MessageToJson(value)


def test_a_first_model_is_judged_by_value_thresholds_only(tmp_path, data):
    names = supported_metrics("binary")
    metrics = {name: {"min": -1e9} for name in names} | {"auc": {"min": 0.8, "may_drop": 0.01}}
    report = evaluate(tmp_path, data, save(tmp_path / "good", "score"), None, metrics)

    assert report["blessed"], report["reasons"]
    assert set(report["metrics"]) == set(names)
    assert None not in report["metrics"].values()
    assert 0.85 < report["metrics"]["auc"] <= 1
    assert report["metrics"]["example_count"] == 800
    assert (report["baseline_metrics"], report["baseline_version"]) == ({}, None)
    assert report["thresholds"]["auc"] == {"min": 0.8, "may_drop": 0.01}
    assert [part["slice"] for part in report["slices"]] == [{"model": "m1"}, {"model": "m2"}]
    assert "nothing serves yet" in report["note"]


def test_a_first_model_below_its_threshold_is_refused_with_the_numbers(tmp_path, data):
    report = evaluate(tmp_path, data, save(tmp_path / "bad", "noise"), None, {"auc": {"min": 0.8}})

    assert not report["blessed"]
    auc = report["metrics"]["auc"]
    assert report["reasons"] == [f"auc {auc:.2f} is below 0.80"]


def test_a_first_model_passes_if_only_changes_are_judged(tmp_path, data):
    report = evaluate(
        tmp_path, data, save(tmp_path / "good", "score"), None, {"auc": {"may_drop": 0.01}}
    )
    assert report["blessed"]
    assert report["note"] == "nothing serves yet: changes were not judged"


def test_without_any_threshold_nothing_is_blessed(tmp_path, data):
    report = evaluate(tmp_path, data, save(tmp_path / "good", "score"), None, {"auc": {}})
    assert not report["blessed"]
    assert "sets no min, max, may_drop or may_rise" in report["reasons"][0]


def test_a_model_worse_than_the_champion_is_refused(tmp_path, data):
    report = evaluate(
        tmp_path,
        data,
        save(tmp_path / "bad", "noise"),
        save(tmp_path / "good", "score"),
        {"auc": {"may_drop": 0.01, "min": 0.2}, "brier_score": {"may_rise": 0.01}},
    )

    assert not report["blessed"]
    assert report["baseline_version"] == 6
    assert report["baseline_metrics"]["auc"] > 0.85
    assert {failure["metric"] for failure in report["failures"]} == {"auc", "brier_score"}
    told = "; ".join(report["reasons"])
    assert "auc fell from" in told and "brier_score rose from" in told
    assert report["slices"][0]["baseline_metrics"]["auc"] > 0.8

    plots = read_plots(str(tmp_path / "evaluation"))
    auc = {model: _area(plots[model]["curve"]) for model in plots}
    assert auc["candidate"] == pytest.approx(report["metrics"]["auc"], abs=0.01)
    assert auc["champion"] == pytest.approx(report["baseline_metrics"]["auc"], abs=0.01)
    half = plots["champion"]["curve"]["thresholds"].index(0.5)
    counts = [values[half] for values in plots["champion"]["curve"].values()][1:]
    assert sum(counts) == 800
    buckets = plots["champion"]["calibration"]
    assert sum(bucket["examples"] for bucket in buckets) == 800
    assert 4 <= len(buckets) <= 10
    shares = [bucket["positives"] / bucket["examples"] for bucket in buckets]
    # The champion's answers follow the label: what it thinks likelier comes more often.
    assert np.corrcoef(shares, [bucket["predicted"] for bucket in buckets])[0, 1] > 0.9
    assert [part["positives"] + part["negatives"] for part in plots["champion"]["slices"]] == [
        part["metrics"]["example_count"]
        for name in (part["slice"] for part in plots["champion"]["slices"])
        for part in report["slices"]
        if part["slice"] == name
    ]


def _area(curve):
    true, false = np.array(curve["true_positives"]), np.array(curve["false_positives"])
    recall, fall_out = true / true[0], false / false[0]
    return -np.sum(np.diff(fall_out) * (recall[1:] + recall[:-1]) / 2)


def test_the_same_model_as_the_champion_is_blessed(tmp_path, data):
    model = save(tmp_path / "good", "score")
    report = evaluate(tmp_path, data, model, model, {"auc": {"may_drop": 0.0, "min": 0.8}})
    assert report["blessed"]
    assert report["metrics"] == report["baseline_metrics"]


def test_a_champion_that_cannot_answer_is_named(tmp_path, data):
    with pytest.raises(RuntimeError, match=r"beside the champion \(version 6\) failed"):
        evaluate(
            tmp_path,
            data,
            save(tmp_path / "good", "score"),
            save(tmp_path / "old", "a_column_that_is_gone"),
            {"auc": {"min": 0.8}},
        )


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_every_metric_is_measured(tmp_path, data, task):
    names = supported_metrics(task)
    metrics = {name: {"min": -1e9} for name in names}
    report = evaluate(tmp_path, data, save(tmp_path / "good", "score", task), None, metrics, task)

    assert report["blessed"], report["reasons"]
    assert set(report["metrics"]) == set(names)
    assert None not in report["metrics"].values()
    if task == "multiclass":
        # The labels are integers that are no places among the classes.
        assert report["metrics"]["accuracy"] > 0.5
        counts = read_plots(str(tmp_path / "evaluation"))["candidate"]["class_counts"]
        assert {name for actual, predicted, _ in counts for name in (actual, predicted)} == {
            str(name) for name in CLASSES
        }
        assert sum(count for *_, count in counts) == 800
        right = sum(count for actual, predicted, count in counts if actual == predicted)
        assert right / 800 == pytest.approx(report["metrics"]["accuracy"])
    if task == "regression":
        assert report["metrics"]["root_mean_squared_error"] == pytest.approx(0.5, abs=0.05)
        sample = np.array(read_plots(str(tmp_path / "evaluation"))["candidate"]["answer_sample"])
        assert sample.shape == (600, 2)
        error = np.sqrt(np.mean((sample[:, 0] - sample[:, 1]) ** 2))
        assert error == pytest.approx(report["metrics"]["root_mean_squared_error"], abs=0.05)


def test_settings_reach_tfma():
    config = eval_config(
        "fails",
        "binary",
        {"metrics": {"auc": {"min": 0.8, "max": 1, "may_drop": 0.01}}, "slices": [["model"]]},
    )
    auc, count, *plots = config.metrics_specs[0].metrics
    assert json.loads(auc.config) == {"name": "auc"}
    (held,) = auc.per_slice_thresholds
    assert [list(spec.feature_keys) for spec in held.slicing_specs] == [[]]
    assert held.threshold.value_threshold.lower_bound.value == 0.8
    assert held.threshold.change_threshold.absolute.value == -0.01
    assert count.class_name == "ExampleCount"
    assert [plot.class_name for plot in plots] == ["ConfusionMatrixPlot", "CalibrationPlot"]
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["model"]]
    assert config.model_specs[0].label_key == "fails"
    assert config.model_specs[0].model_type == "tf_generic"
    with pytest.raises(ValueError, match="did you mean 'auc'"):
        eval_config("fails", "binary", {"metrics": {"auk": {}}})
