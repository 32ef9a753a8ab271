"""``schema infer``, ``diff`` and ``accept`` on statistics made here."""

import io
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from click.testing import CliRunner
from rich.console import Console
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2

from components.curated_schema.schema_file import read_schema
from pipeline.schema import command
from pipeline.schema.facts import facts
from pipeline.schema.propose import propose
from pipeline.schema.text import merge
from pipeline.schema.verbs import SchemaVerbError, accept, diff, infer, proposed_file
from pipeline.settings import parse_settings

pytestmark = pytest.mark.tfx

SETTINGS = """
project: {name: plant-failures}
sources:
  observations:
    kind: sql
    url: sqlite:///plant.db
    query: SELECT * FROM observations
    entity: machine_id
    time: observed_at
  telemetry:
    kind: sensor
    path: telemetry/*.csv
    entity: machine_id
    time: {column: ts}
    channels: {temperature: {range: [-40, 200]}}
    windows: [{size: 3h, aggregate: [mean, count, slope]}]
label: {name: fails, horizon: 24h}
split: {by: time, train: 5d, eval: 2d}
features: {numeric: [age, telemetry_*], categorical: [model, line]}
"""


def examples(rows, seed, *, begin=0):
    random = np.random.default_rng(seed)
    mean = random.normal(40, 3, rows).astype("float32")
    mean[: rows // 5] = np.nan
    return pd.DataFrame(
        {
            "machine_id": [f"m{i % 40}" for i in range(rows)],
            "observed_at": np.arange(begin, begin + rows) * 1_000_000,
            "fails": random.integers(0, 2, rows),
            "age": random.uniform(2, 12, rows).astype("float32"),
            "model": random.choice(["A", "B", "C"], rows),
            "note": [f"note {i}" for i in range(rows)],
            "line": random.integers(1, 4, rows),
            "alarms": random.integers(0, 9, rows),
            "hours": (np.arange(begin, begin + rows) + random.normal(0, 9, rows)).astype("float32"),
            "telemetry_temperature_mean_3h": mean,
            "telemetry_temperature_count_3h": random.integers(0, 9, rows).astype("float32"),
            "telemetry_temperature_slope_3h": random.normal(0, 1, rows).astype("float32"),
        }
    )


def statistics(**frames):
    made = {}
    for split, frame in frames.items():
        arrays = {}
        for name, column in frame.items():
            missing = column.isna()
            values = pa.array([None if m else [v] for v, m in zip(column, missing, strict=True)])
            floats = pa.types.is_floating(values.type.value_type)
            arrays[name] = values.cast(pa.list_(pa.float32())) if floats else values
        batch = pa.RecordBatch.from_pydict(arrays)
        made[split] = stats_impl.generate_statistics_in_memory(batch)
    return made


@pytest.fixture(scope="module")
def numbers():
    return statistics(train=examples(2000, 1), eval=examples(600, 2, begin=2000))


@pytest.fixture(scope="module")
def settings():
    return parse_settings(SETTINGS)


@pytest.fixture(scope="module")
def proposal(numbers, settings):
    return propose(numbers, facts(settings), None)


def feature(schema, name):
    return next(f for f in schema.feature if f.name == name)


def test_the_label_is_absent_when_serving(proposal):
    assert list(proposal.default_environment) == ["TRAINING", "SERVING"]
    assert list(feature(proposal, "fails").not_in_environment) == ["SERVING"]
    assert feature(proposal, "fails").HasField("bool_domain")
    assert feature(proposal, "fails").presence.min_fraction == 1


def test_keys_have_neither_domain_nor_comparator(proposal):
    for name in ("machine_id", "observed_at"):
        key = feature(proposal, name)
        assert key.presence.min_fraction == 1
        assert key.WhichOneof("domain_info") is None
        assert not key.HasField("drift_comparator")


def test_domains_are_for_few_values(proposal):
    assert feature(proposal, "model").domain == "model"
    assert feature(proposal, "model").distribution_constraints.min_domain_mass == 0.99
    assert feature(proposal, "note").WhichOneof("domain_info") is None
    assert [d.name for d in proposal.string_domain] == ["model"]


def test_ints_that_settings_call_categories_are(proposal):
    assert feature(proposal, "line").int_domain.is_categorical
    alarms = feature(proposal, "alarms").int_domain
    assert (alarms.min, alarms.HasField("max")) == (0, False)


def test_float_ranges_are_the_possible_ones_or_wide(proposal):
    mean = feature(proposal, "telemetry_temperature_mean_3h").float_domain
    assert (mean.min, mean.max) == (-40, 200)
    count = feature(proposal, "telemetry_temperature_count_3h").float_domain
    assert (count.min, count.HasField("max")) == (0, False)
    slope = feature(proposal, "telemetry_temperature_slope_3h").float_domain
    assert not slope.HasField("min")
    assert not slope.HasField("max")
    assert slope.disallow_nan
    age = feature(proposal, "age").float_domain
    assert age.min == 0
    assert 20 <= age.max <= 24


def test_presence_leaves_room(proposal):
    assert feature(proposal, "age").presence.min_fraction == pytest.approx(0.9)
    mean = feature(proposal, "telemetry_temperature_mean_3h")
    assert mean.presence.min_fraction == pytest.approx(0.72)


def test_no_feature_is_of_fixed_shape(proposal):
    assert not any(f.WhichOneof("shape_type") == "shape" for f in proposal.feature)


def test_comparators_are_for_what_holds_still(proposal):
    assert feature(proposal, "age").drift_comparator.jensen_shannon_divergence.threshold == 0.3
    assert feature(proposal, "model").skew_comparator.infinity_norm.threshold == 0.3
    assert feature(proposal, "line").drift_comparator.HasField("infinity_norm")
    assert not feature(proposal, "hours").HasField("drift_comparator")
    assert not feature(proposal, "fails").HasField("drift_comparator")


def test_the_data_that_it_comes_from_fits_it(proposal, numbers):
    for split in numbers.values():
        found = tfdv.validate_statistics(split, proposal)
        assert not found.anomaly_info


def test_it_is_idempotent(proposal, numbers, settings):
    again = propose(numbers, facts(settings), proposal)
    assert again == proposal


def test_what_people_wrote_stands_until_the_data_contradicts(proposal, numbers, settings):
    curated = schema_pb2.Schema()
    curated.CopyFrom(proposal)
    feature(curated, "age").float_domain.max = 100
    feature(curated, "age").ClearField("drift_comparator")
    feature(curated, "alarms").int_domain.max = 3
    del curated.string_domain[0].value[0]
    curated.feature.remove(feature(curated, "line"))
    curated.feature.add(name="gone", type=schema_pb2.FLOAT).presence.min_count = 1
    again = propose(numbers, facts(settings), curated)
    assert feature(again, "age").float_domain.max == 100
    assert not feature(again, "age").HasField("drift_comparator")
    assert feature(again, "alarms").int_domain.max in (0, 8)
    assert sorted(again.string_domain[0].value) == ["A", "B", "C"]
    assert feature(again, "line").int_domain.is_categorical
    assert "gone" not in [f.name for f in again.feature]


def test_no_rows(settings):
    with pytest.raises(ValueError, match="hold no row"):
        propose({}, facts(settings), None)


@pytest.fixture
def project(tmp_path, monkeypatch, numbers):
    monkeypatch.chdir(tmp_path)
    for split, made in numbers.items():
        folder = tmp_path / "stats" / f"Split-{split}"
        folder.mkdir(parents=True)
        (folder / "FeatureStats.pb").write_bytes(made.SerializeToString())
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    return tmp_path


def console():
    return Console(file=io.StringIO(), width=160)


def test_infer_diff_accept(project, settings):
    told = console()
    assert infer(settings, told, pathlib.Path("stats")) == 0
    assert "new      model" in told.file.getvalue()
    assert "python -m pipeline schema accept" in told.file.getvalue()
    assert not pathlib.Path("schemas/schema.pbtxt").exists()
    assert diff(settings, console()) > 0
    assert accept(settings, console(), yes=True) == 0
    assert read_schema("schemas/schema.pbtxt") == read_schema(proposed_file(settings))

    before = pathlib.Path("schemas/schema.pbtxt").read_bytes()
    told = console()
    assert infer(settings, told, pathlib.Path("stats")) == 0
    assert "needs no change" in told.file.getvalue()
    assert accept(settings, console(), yes=True) == 0
    assert pathlib.Path("schemas/schema.pbtxt").read_bytes() == before
    assert not list(pathlib.Path("schemas").glob(".*"))


def test_hand_made_edits_survive_a_new_column(project, settings):
    infer(settings, console(), pathlib.Path("stats"))
    accept(settings, console(), yes=True)
    path = pathlib.Path("schemas/schema.pbtxt")
    text = path.read_text().replace('  name: "age"', '  name: "age"  # agreed with maintenance')
    schema = read_schema(path)
    line = next(i for i, f in enumerate(schema.feature) if f.name == "line")
    del schema.feature[line]
    path.write_text(merge(text, schema))
    infer(settings, console(), pathlib.Path("stats"))
    accept(settings, console(), yes=True)
    assert "# agreed with maintenance" in path.read_text()
    assert "line" in [f.name for f in read_schema(path).feature]


def test_verbs_without_what_they_need(project, settings):
    with pytest.raises(SchemaVerbError, match="nothing is proposed yet"):
        diff(settings, console())
    with pytest.raises(SchemaVerbError, match="no run has made statistics yet"):
        infer(settings, console())
    pathlib.Path("empty").mkdir()
    with pytest.raises(SchemaVerbError, match="no statistics lie in it"):
        infer(settings, console(), pathlib.Path("empty"))


def test_commands(project):
    runner = CliRunner()
    done = runner.invoke(command, ["infer", "--statistics", "stats"], obj="settings.yaml")
    assert done.exit_code == 0, done.output
    assert runner.invoke(command, ["diff"], obj="settings.yaml").exit_code == 1
    declined = runner.invoke(command, ["accept"], obj="settings.yaml", input="n\n")
    assert declined.exit_code == 1
    assert not pathlib.Path("schemas/schema.pbtxt").exists()
    assert runner.invoke(command, ["accept", "--yes"], obj="settings.yaml").exit_code == 0
    assert runner.invoke(command, ["diff"], obj="settings.yaml").exit_code == 0
    pathlib.Path("schemas/schema.pbtxt").write_text("feature {")
    broken = runner.invoke(command, ["diff"], obj="settings.yaml")
    assert broken.exit_code == 1
    assert "schemas/schema.pbtxt" in broken.output
