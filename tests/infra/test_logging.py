"""The collector and the index agree with what is logged; neither has been run."""

import fnmatch
import json
import pathlib
from datetime import datetime

import pytest
import yaml

from observability.records import time_text

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "infra/logging"
FIELDS = json.loads((FOLDER / "record.schema.json").read_text(encoding="utf-8"))["properties"]
TYPES = {"integer": {"integer", "long"}, "number": {"double"}, "string": {"keyword", "text"}}


@pytest.fixture(name="pipeline")
def the_pipeline() -> dict:
    return yaml.safe_load((FOLDER / "fluent-bit.yaml").read_text(encoding="utf-8"))


def test_the_index_knows_every_field() -> None:
    template = json.loads((FOLDER / "index-template.json").read_text(encoding="utf-8"))
    mapped = template["template"]["mappings"]["properties"]
    assert set(mapped) == set(FIELDS) - {"time"} | {"@timestamp"}
    for name, field in FIELDS.items():
        if name == "time":
            continue
        told = field.get("type", "string")
        kind = told if isinstance(told, str) else told[0]
        assert mapped[name]["type"] in TYPES[kind], name


def test_the_collector_reads_where_records_are_written(pipeline: dict) -> None:
    paths = [path for i in pipeline["pipeline"]["inputs"] for path in i["path"].split(",")]
    for written in (
        "${PROJECT}/var/runs/20261124-002909-e36e/log.jsonl",
        "${PROJECT}/var/logs/access.jsonl",
        "/var/log/containers/plant-x7-system-container-impl-12_kubeflow-user_main-0a1b.log",
        "/var/log/containers/plant-failures-train-worker-1_kubeflow-user_tensorflow-0a1b.log",
    ):
        assert any(fnmatch.fnmatch(written, path) for path in paths), written


def test_the_collector_reads_the_records_times(pipeline: dict) -> None:
    (parser,) = pipeline["parsers"]
    assert {i.get("parser", parser["name"]) for i in pipeline["pipeline"]["inputs"]} == {"record"}
    # Fluent Bit's %L is a fraction of a second; Python's is %f.
    layout = parser["time_format"].replace("%L", "%f")
    assert datetime.strptime(time_text(1_764_000_000.25), layout).microsecond == 250_000


def test_records_go_where_the_template_applies(pipeline: dict) -> None:
    template = json.loads((FOLDER / "index-template.json").read_text(encoding="utf-8"))
    (output,) = pipeline["pipeline"]["outputs"]
    (pattern,) = template["index_patterns"]
    assert fnmatch.fnmatch(output["index"], pattern)
    assert output["write_operation"] == "create" and "data_stream" in template


def test_no_secret_stands_in_the_configuration(pipeline: dict) -> None:
    (output,) = pipeline["pipeline"]["outputs"]
    assert output["http_passwd"] == "${SEARCH_PASSWORD}"
