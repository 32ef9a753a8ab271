"""AnomalyGate: each kind of broken data stops, is told in words, and can be let pass."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.types import standard_artifacts

from components.anomaly_gate.component import AnomalyGate
from components.anomaly_gate.executor import Executor
from components.anomaly_gate.gate import AnomalyError, judge, write_report
from components.anomaly_gate.settings import GateSettings
from components.anomaly_gate.statistics_files import read_anomalies, read_statistics
from components.ingest.artifacts import QualityReport

pytestmark = pytest.mark.tfx

SCHEMA = """
feature { name: "machine_id" type: INT value_count { min: 1 max: 1 } presence { min_fraction: 1 } }
feature { name: "fails" type: INT bool_domain {} presence { min_fraction: 1 }
  value_count { min: 1 max: 1 } not_in_environment: "SERVING" }
feature { name: "age" type: FLOAT presence { min_fraction: 0.9 } value_count { min: 1 max: 1 }
  float_domain { min: 0 max: 80 disallow_nan: true }
  drift_comparator { jensen_shannon_divergence { threshold: 0.2 } }
  skew_comparator { jensen_shannon_divergence { threshold: 0.2 } } }
feature { name: "model" type: BYTES domain: "model" presence { min_fraction: 0.9 }
  value_count { min: 1 max: 1 } distribution_constraints { min_domain_mass: 0.99 }
  drift_comparator { infinity_norm { threshold: 0.2 } } }
string_domain { name: "model" value: "A" value: "B" }
default_environment: "TRAINING"
default_environment: "SERVING"
"""
LABEL = GateSettings(label="fails")


def schema(edit=None):
    made = text_format.Parse(SCHEMA, schema_pb2.Schema())
    if edit is not None:
        edit(made)
    return made


def rows(count=1000, seed=0):
    random = np.random.default_rng(seed)
    return {
        "machine_id": (np.arange(count) % 40).tolist(),
        "fails": random.integers(0, 2, count).tolist(),
        "age": random.normal(30, 4, count).tolist(),
        "model": random.choice(["A", "B"], count).tolist(),
    }


def statistics(columns):
    arrays = {}
    for name, values in columns.items():
        array = pa.array([None if v is None else [v] for v in values])
        floats = pa.types.is_floating(array.type.value_type)
        arrays[name] = array.cast(pa.list_(pa.float32())) if floats else array
    return stats_impl.generate_statistics_in_memory(pa.RecordBatch.from_pydict(arrays))


@pytest.fixture(scope="module")
def good():
    return {"train": statistics(rows()), "eval": statistics(rows(seed=1))}


def verdict(numbers, settings=LABEL, baseline=None, curated=None):
    curated = curated or schema()
    found = {split: tfdv.validate_statistics(s, curated) for split, s in numbers.items()}
    return judge(numbers, curated, found, baseline or {}, settings)


def stopping(result):
    return {(f.feature, f.reason, f.split, f.kind) for f in result.stopping}


def test_good_data_passes(good, tmp_path):
    result = verdict(good, baseline=good)
    assert result.findings == []
    write_report(result, tmp_path / "report" / "5")
    report = json.loads((tmp_path / "report" / "5" / "report.json").read_text())
    assert report["summary"] == "no anomaly"
    assert report["examples"] == {"train": 1000, "eval": 1000}
    assert {m["feature"] for m in report["drift"]} == {"age", "model"}
    assert [m["feature"] for m in report["skew"]] == ["age"]
    assert not (tmp_path / "refused").exists()


def test_a_missing_column_stops(good):
    columns = rows()
    del columns["age"]
    result = verdict({**good, "eval": statistics(columns)})
    assert ("age", "SCHEMA_MISSING_COLUMN", "eval", "schema") in stopping(result)


def test_a_new_category_stops_and_a_rare_one_does_not(good):
    columns = rows()
    columns["model"][:5] = ["C"] * 5
    assert stopping(verdict({**good, "eval": statistics(columns)})) == set()
    columns["model"][:50] = ["C"] * 50
    found = stopping(verdict({**good, "eval": statistics(columns)}))
    assert found == {("model", "ENUM_TYPE_UNEXPECTED_STRING_VALUES", "eval", "schema")}


def test_a_changed_type_stops(good):
    columns = rows()
    columns["age"] = [str(v) for v in columns["age"]]
    found = verdict({**good, "train": statistics(columns)}).stopping
    assert {f.feature for f in found} == {"age"}
    assert any(f.rule == "values have the schema's type" for f in found)


def test_values_out_of_range_stop(good):
    columns = rows()
    columns["age"][3] = 400.0
    found = stopping(verdict({**good, "train": statistics(columns)}))
    assert ("age", "FLOAT_TYPE_BIG_FLOAT", "train", "schema") in found


def test_too_few_values_stop(good):
    columns = rows()
    columns["age"][:300] = [None] * 300
    found = stopping(verdict({**good, "train": statistics(columns)}))
    assert ("age", "FEATURE_TYPE_LOW_FRACTION_PRESENT", "train", "schema") in found


def test_a_new_column_stops(good):
    columns = {**rows(), "colour": ["red"] * 1000}
    found = stopping(verdict({**good, "eval": statistics(columns)}))
    assert ("colour", "SCHEMA_NEW_COLUMN", "eval", "schema") in found


def test_the_label_may_be_absent_when_serving_only_if_the_schema_says_so(good):
    assert stopping(verdict(good)) == set()

    def forget(made):
        del made.feature[1].not_in_environment[:]

    found = stopping(verdict(good, curated=schema(forget)))
    assert found == {
        ("fails", "SCHEMA_MISSING_COLUMN", "train", "serving"),
        ("fails", "SCHEMA_MISSING_COLUMN", "eval", "serving"),
    }


def test_a_schema_without_environments_serves_too(good):
    def forget(made):
        del made.default_environment[:]

    assert stopping(verdict(good, curated=schema(forget))) == set()


def test_a_column_for_serving_only_may_be_absent_in_training(good):
    def add(made):
        extra = made.feature.add(name="request_id", type=schema_pb2.BYTES)
        extra.presence.min_count = 1
        extra.not_in_environment.append("TRAINING")

    found = stopping(verdict(good, curated=schema(add)))
    assert {(feature, kind) for feature, _, _, kind in found} == {("request_id", "serving")}


def moved(seed=3):
    columns = rows(seed=seed)
    columns["age"] = [v + 20 for v in columns["age"]]
    columns["model"] = ["A"] * 1000
    return statistics(columns)


def test_drift_from_the_champion_stops(good):
    found = stopping(verdict(good, baseline={"train": moved()}))
    assert found == {
        ("age", "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", "train", "drift"),
        ("model", "COMPARATOR_L_INFTY_HIGH", "train", "drift"),
    }


def test_skew_between_train_and_eval_stops(good):
    found = stopping(verdict({"train": good["train"], "eval": moved()}, baseline=good))
    assert found == {("age", "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", "train", "skew")}


def test_drift_and_skew_may_be_reported_only(good):
    settings = GateSettings(label="fails", drift="report", skew="report")
    result = verdict({"train": good["train"], "eval": moved()}, settings, {"train": moved(4)})
    assert result.stopping == []
    assert {f.passes for f in result.findings} == {
        "validation.drift is 'report'",
        "validation.skew is 'report'",
    }


def test_a_feature_that_the_champion_did_not_have_is_not_drift(good):
    columns = rows()
    del columns["model"]
    result = verdict(good, baseline={"train": statistics(columns)})
    assert result.stopping == []
    assert [f.passes for f in result.findings] == ["nothing to compare with"]


@pytest.mark.parametrize(
    ("ignore", "passes"),
    [
        (["age"], True),
        (["a*"], True),
        (["age:FLOAT_TYPE_BIG_FLOAT"], True),
        (["*:FLOAT_TYPE_BIG_FLOAT"], True),
        (["age:FLOAT_TYPE_SMALL_FLOAT"], False),
        (["model"], False),
    ],
)
def test_what_is_ignored_passes(good, ignore, passes):
    columns = rows()
    columns["age"][3] = 90.0
    settings = GateSettings(label="fails", ignore=ignore)
    result = verdict({**good, "train": statistics(columns)}, settings)
    assert [f.feature for f in result.findings] == ["age"]
    assert (not result.stopping) == passes
    if passes:
        assert result.findings[0].passes == f"ignored by validation.ignore: {ignore[0]}"


def test_no_statistics_are_an_error():
    with pytest.raises(ValueError, match="without a split"):
        judge({}, schema(), {}, {}, LABEL)


def test_the_message_tells_the_ten_worst_and_where_the_rest_is(good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = {**rows(), **{f"new{i:02d}": [1] * 1000 for i in range(12)}}
    del columns["age"]
    both = {"train": statistics(columns), "eval": statistics(columns)}
    with pytest.raises(AnomalyError) as caught:
        write_report(verdict(both), tmp_path / "AnomalyGate" / "report" / "8")
    lines = str(caught.value).split("\n")
    assert lines[0] == "the data has 13 anomalies; the run stops here"
    assert lines[1:3] == [
        "  age (train and eval): Column is completely missing [SCHEMA_MISSING_COLUMN]",
        "    expected: a column of the schema stands in the data",
    ]
    assert lines[3].startswith("    mend: bring it back into its source's query or files")
    assert sum(line.startswith("  new") for line in lines) == 9
    assert lines[-2] == "  … and 3 more"
    assert lines[-1].endswith("The full list: AnomalyGate/refused/8.json")
    full = json.loads((tmp_path / "AnomalyGate" / "refused" / "8.json").read_text())
    assert len(full["findings"]) == 26
    assert full["stops"]
    assert full["reasons"] == {"SCHEMA_NEW_COLUMN": 24, "SCHEMA_MISSING_COLUMN": 2}
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def write(folder, name, by_split):
    for split, message in by_split.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        (folder / f"Split-{split}" / name).write_bytes(message.SerializeToString())


def artifact(kind, folder):
    made = kind()
    made.uri = str(folder)
    return [made]


def test_executor_reads_what_tfx_writes(good, tmp_path):
    columns = rows()
    columns["age"][3] = 400.0
    bad = {**good, "train": statistics(columns)}
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").write_text(SCHEMA)
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion" / "champion.json").write_text("{}")
    for name, numbers in (("good", good), ("bad", bad)):
        write(tmp_path / name / "statistics", "FeatureStats.pb", numbers)
        found = {split: tfdv.validate_statistics(s, schema()) for split, s in numbers.items()}
        write(tmp_path / name / "anomalies", "SchemaDiff.pb", found)

    def do(name):
        Executor().Do(
            {
                "statistics": artifact(
                    standard_artifacts.ExampleStatistics, tmp_path / name / "statistics"
                ),
                "schema": artifact(standard_artifacts.Schema, tmp_path / "schema"),
                "anomalies": artifact(
                    standard_artifacts.ExampleAnomalies, tmp_path / name / "anomalies"
                ),
                "baseline_statistics": artifact(
                    standard_artifacts.ExampleStatistics, tmp_path / "champion"
                ),
            },
            {"report": artifact(QualityReport, tmp_path / "AnomalyGate" / "report" / name)},
            {"settings": LABEL.model_dump_json(), "code": "x"},
        )

    do("good")
    report = json.loads((tmp_path / "AnomalyGate/report/good/report.json").read_text())
    assert report["summary"] == "no anomaly; no champion to compare with"
    with pytest.raises(AnomalyError, match=r"age \(train\): Unexpectedly high value: 400>80"):
        do("bad")
    assert (tmp_path / "AnomalyGate/refused/bad.json").exists()


def test_files_that_are_not_what_their_names_say(tmp_path):
    (tmp_path / "Split-train").mkdir()
    (tmp_path / "Split-train" / "FeatureStats.pb").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match="no DatasetFeatureStatisticsList can be read"):
        read_statistics(tmp_path)
    assert read_anomalies(tmp_path) == {}
    assert read_statistics(tmp_path / "nowhere") == {}


def test_train_comes_first(tmp_path):
    empty = statistics_pb2.DatasetFeatureStatisticsList()
    write(tmp_path, "FeatureStats.pb", {"eval": empty, "train": empty, "a": empty})
    assert list(read_statistics(tmp_path)) == ["train", "a", "eval"]


def test_component_wires():
    from tfx.types import channel

    made = AnomalyGate(
        statistics=channel.Channel(standard_artifacts.ExampleStatistics),
        schema=channel.Channel(standard_artifacts.Schema),
        anomalies=channel.Channel(standard_artifacts.ExampleAnomalies),
        baseline_statistics=channel.Channel(standard_artifacts.ExampleStatistics),
        settings=LABEL.model_dump_json(),
        code="x",
    )
    assert made.outputs["report"].type is QualityReport


def test_unknown_reasons_are_refused():
    with pytest.raises(ValueError, match="did you mean 'SCHEMA_NEW_COLUMN'"):
        GateSettings(ignore=["age:SCHEMA_NEW_COLUMNS"])
    with pytest.raises(ValueError, match="expected a feature"):
        GateSettings(ignore=[":SCHEMA_NEW_COLUMN"])
