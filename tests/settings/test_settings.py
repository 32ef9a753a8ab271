"""settings.yaml: what is accepted, and the exact message for what is not."""

import json
import pathlib
import pickle
import subprocess
import sys

import pytest

from components.curated_schema.schema_file import Column
from components.distributed_trainer.settings import LAUNCH
from components.ingest.durations import MICROSECONDS
from components.ingest.sources import SqlSource
from components.point_in_time_join.settings import JoinSettings
from pipeline import launch
from pipeline.settings import Settings, SettingsError, load_settings, parse_settings
from pipeline.settings.document import plain_scalar
from pipeline.settings.features import FeatureError
from serving.rollout.plan import Plan, Step

HERE = pathlib.Path(__file__).parent
VALID = sorted((HERE / "valid").glob("*.yaml"))
INVALID = sorted((HERE / "invalid").glob("*.yaml"))
MARK = "# error: "


def test_there_are_examples():
    assert len(VALID) >= 8
    assert len(INVALID) >= 30


@pytest.mark.parametrize("path", INVALID, ids=lambda p: p.stem)
def test_invalid(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    expected = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
    with pytest.raises(SettingsError) as caught:
        parse_settings(path.read_text(encoding="utf-8"), path.name)
    assert str(caught.value) == "\n".join(expected)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("path", VALID, ids=lambda p: p.stem)
def test_valid(path):
    settings = load_settings(path)
    again = Settings.model_validate_json(settings.model_dump_json(by_alias=True))
    assert again == settings
    assert settings.reserved_columns[0] == settings.label.name


def load(name):
    return load_settings(HERE / "valid" / f"{name}.yaml")


def test_demo_values():
    settings = load("demo")
    assert settings.as_of == "latest"
    assert settings.label.horizon == 24 * MICROSECONDS["h"]
    assert settings.training.learning_rate == 0.001
    assert settings.training.hidden_layers == [32]
    assert settings.serving.model_directory == "var/serving/plant"
    telemetry = settings.sources["telemetry"]
    assert telemetry.time.offsets == {"gateway-3": -90 * MICROSECONDS["s"], "7": "estimate"}
    assert list(settings.other_sources) == ["errors", "telemetry"]
    assert settings.reserved_columns == (
        "fails_within_24h",
        "machine_id",
        "observed_at",
        "recorded_at",
    )


def test_sql_sources_take_the_spines_database():
    settings = load("demo")
    errors = settings.sources["errors"]
    assert isinstance(errors, SqlSource)
    assert (errors.url_env, errors.url) == ("PLANT_DB_URL", "sqlite:///data/plant.db")
    assert load("entity_split").sources["workorders"].url_env == "ERP_URL"


def test_what_is_kept_lies_with_the_runs_unless_told_otherwise():
    sources = load("incremental").sources
    assert {name: source.incremental.directory for name, source in sources.items()} == {
        "observations": "/data/runs/days",
        "inspections": "gs://plant/days",
        "telemetry": "/data/runs/days",
    }
    assert load("demo").spine_source.incremental is None


def test_a_trials_plan():
    canary = load("canary").serving.canary
    plan = canary.plan(25.0)
    assert [step.percent for step in plan.steps] == [5, 25]
    assert {(step.min_seconds, step.min_requests) for step in plan.steps} == {(300, 1000)}
    limits = plan.thresholds
    assert (limits.p99_ms, limits.psi, limits.events, limits.more_errors) == (25, 0.1, 5, 0.001)
    assert (plan.timeout_seconds, plan.window_seconds) == (7200, 120)
    assert load("demo").serving.canary.plan(50.0) == Plan()
    assert canary.plan(25.0, steps=[1]).steps == (Step(1, 300, 1000),)
    with pytest.raises(ValueError, match="psi is -1: expected a number of at least 0"):
        canary.plan(25.0, psi=-1)


def test_dates_and_times_stay_text():
    assert load("azure").as_of == "2015-04-01"
    assert list(load("long_layout").sources["meters"].channels) == ["pressure", "off"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("12:30:00", "12:30:00"),
        ("2025-04-17", "2025-04-17"),
        ("010", 10),
        ("0x1f", 31),
        ("1e-3", 0.001),
        ("1_000", "1_000"),
        ("-.5", -0.5),
        ("true", True),
        ("~", None),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars_as_in_yaml_1_2(text, value):
    got = plain_scalar(text)
    assert (got, type(got)) == (value, type(value))


def test_quoted_scalars_are_text():
    settings = parse_settings(
        (HERE / "valid" / "sql_only.yaml").read_text().replace("time: seen_at", "time: '7'")
    )
    assert settings.spine_source.time == "7"


def test_an_alias_is_read_and_one_that_holds_itself_refused():
    text = (HERE / "valid" / "sql_only.yaml").read_text()
    shared = text.replace("name: left", "name: &x left") + "evaluation: {slices: [[*x]]}\n"
    with pytest.raises(SettingsError, match="slices by the label, 'left'"):
        parse_settings(shared.replace("\nevaluation:\n", "\n"))
    with pytest.raises(SettingsError, match="an alias must not hold itself"):
        parse_settings(text + "run: &r {directory: *r}\n")


def test_missing_file_and_bad_encoding(tmp_path):
    with pytest.raises(SettingsError, match="there is no such file"):
        load_settings(tmp_path / "settings.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"project: {name: pl\xe4nt}")
    with pytest.raises(SettingsError, match="isn't UTF-8 text: byte 18"):
        load_settings(latin)
    with pytest.raises(SettingsError, match="can't be read: Is a directory"):
        load_settings(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (HERE / "valid" / "sql_only.yaml").read_bytes())
    assert load_settings(path).project.name == "churn"


def test_all_problems_are_on_the_error_and_it_pickles():
    text = (HERE / "invalid" / "more_than_ten.yaml").read_text()
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    assert len(caught.value.problems) == 12
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


COLUMNS = {
    "machine_id": Column("bytes"),
    "observed_at": Column("int"),
    "recorded_at": Column("int"),
    "fails_within_24h": Column("int"),
    "age": Column("float"),
    "load": Column("float"),
    "model": Column("bytes"),
    "shift": Column("int", categorical=True),
    "tags": Column("bytes", many=True),
    "errors_error_id_count_24h": Column("float"),
    "telemetry_temperature_mean_3h": Column("float"),
    "telemetry_temperature_slope_24h": Column("float"),
    "telemetry_note": Column("bytes"),
}


def test_trainer_config_expands_globs():
    config = load("demo").trainer_config(COLUMNS)
    json.dumps(config)
    assert config["label"] == {"name": "fails_within_24h", "task": "binary"}
    assert config["features"] == {
        "numeric": ["age", "errors_error_id_count_24h", "telemetry_temperature_mean_3h"],
        "categorical": {
            "model": {"vocabulary": 20, "oov_buckets": 1},
            "shift": {"vocabulary": 1000, "oov_buckets": 1},
        },
        "bucketized": {"load": {"buckets": 10}},
    }
    assert config["training"]["epochs"] == 5


def test_without_features_the_schema_decides():
    config = load("azure").trainer_config(
        {"machineID": Column("int"), "datetime": Column("int"), **COLUMNS}
    )
    assert list(config["features"]["categorical"]) == [
        "machine_id",
        "model",
        "shift",
        "telemetry_note",
    ]
    assert "tags" not in config["features"]["numeric"]
    assert "datetime" not in config["features"]["numeric"]
    assert config["features"]["bucketized"] == {}


def test_regression_has_no_class_weights():
    columns = {"outside_temperature": Column("float"), "site_kind": Column("bytes")}
    config = load("regression").trainer_config(columns)
    assert config["training"]["class_weights"] == "none"


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            "numeric: [lod]",
            "features.numeric: 'lod' is no column of the schema; did you mean 'load'?",
        ),
        (
            "numeric: [model]",
            "features.numeric: 'model' is bytes in the schema; expected int or float",
        ),
        (
            "categorical: [tags]",
            "features.categorical: 'tags' holds several values in a row; expected one",
        ),
        ("numeric: ['tele*_max']", "features.numeric: 'tele*_max' matches no int or float column"),
        ("exclude: [lod]", "features.exclude: 'lod' matches no column; did you mean 'load'?"),
        ("numeric: [load], exclude: [l*]", "features.numeric: 'load' is listed under exclude too"),
        (
            "numeric: [observed_at]",
            "features.numeric: 'observed_at' is the label, the entity or a "
            "time, which are never features",
        ),
        (
            "exclude: ['*']",
            "features.numeric: '*' leaves no feature: the schema has no other column",
        ),
    ],
)
def test_features_that_the_schema_does_not_bear_out(features, message):
    text = (HERE / "valid" / "multiclass.yaml").read_text()
    settings = parse_settings(text + f"features: {{{features}}}\n")
    with pytest.raises(FeatureError) as caught:
        settings.trainer_config(COLUMNS)
    assert str(caught.value) == message


def test_what_components_are_given_is_json_with_text_durations():
    settings = load("demo")
    joined = json.loads(settings.join_settings())
    assert joined["horizon"] == "24h"
    assert list(joined["sources"]) == ["errors", "telemetry"]
    assert JoinSettings.model_validate(joined).label.task == "binary"
    assert joined["name"] == "observations"
    assert joined["spine"]["url_env"] == "PLANT_DB_URL"
    gate = json.loads(settings.gate_settings())
    assert gate["label"] == "fails_within_24h"
    assert gate["skew"] == "report"


def test_default_metrics_follow_the_task():
    assert load("azure").evaluation.metrics["auc"].may_drop == 0.01
    assert "accuracy" in load("multiclass").evaluation.metrics
    assert "root_mean_squared_error" in load("regression").evaluation.metrics


def test_kubeflow_nodes_take_the_default_field_by_field():
    kubeflow = load("kubeflow").kubeflow
    trainer = kubeflow.node("Trainer")
    assert (trainer.cpu, trainer.memory, trainer.retries) == ("500m", "4Gi", 2)
    assert trainer.accelerator.count == 2
    assert kubeflow.node("Transform").cpu == "2"


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load("demo").project.name = "other"


def test_settings_import_nothing_heavy():
    code = (
        "import sys, pipeline.settings; "
        "print([m for m in ('tensorflow', 'tfx', 'pyarrow', 'pandas', 'numpy', 'apache_beam', "
        "'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_many_workers_are_launched():
    settings = load("demo")
    assert launch.environment(settings) == {}
    assert "workers" not in settings.trainer_config(COLUMNS)["training"]
    training = settings.training.model_copy(update={"strategy": "multi_worker"})
    told = json.loads(
        launch.environment(settings.model_copy(update={"training": training}))[LAUNCH]
    )
    assert told["workers"]["launcher"] == "loopback"
    assert told["directory"] == "var/training"
