"""The main job as a user meets it. These tests share one project and build on each other."""

import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import patient
from tests.end_to_end.conftest import ROOT, Project
from tests.observability import records

pytestmark = pytest.mark.end_to_end

ANSWER = """
import json, pathlib, sys
import numpy as np
import pyarrow as pa
import tensorflow as tf
from components.ingest import examples
model = tf.saved_model.load(sys.argv[1])
files = examples.split_files(sys.argv[2], "eval")
batch = examples.flatten(next(examples.read_batches(files))).slice(0, 4)
serialized = tf.constant(list(examples.encode(batch)))
by_example = model.signatures["serving_default"](examples=serialized)
columns = model.signatures["predict_columns"]
wanted = columns.structured_input_signature[1]
values = {}
for name, spec in wanted.items():
    column = batch.column(name)
    if spec.dtype == tf.string:
        filled = [v or b"" for v in column.to_pylist()]
        values[name] = tf.constant(filled, tf.string)
    else:
        floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        values[name] = tf.constant(floats, spec.dtype)
    if spec.shape.rank == 2:
        values[name] = values[name][:, None]
by_column = columns(**values)
print(json.dumps({
    "example": np.asarray(by_example["probabilities"]).ravel().tolist(),
    "column": np.asarray(by_column["probabilities"]).ravel().tolist(),
    "label": "fails_within_24h" in wanted,
}))
"""


def metrics(path: pathlib.Path) -> set[tuple[str, frozenset[str]]]:
    """The metrics of pipeline runs in a textfile, each with its labels' names."""
    return {
        (sample.name, frozenset(sample.labels))
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
        if sample.name.startswith("pipeline_")
    }


def stages(record: dict, state: str) -> set[str]:
    return {node for node, known in record["nodes"].items() if known == state}


@pytest.mark.smoke
def test_first_run_pushes_a_version(project: Project) -> None:
    printed = project.call("run")
    assert re.search(r"version 1 pushed: auc 0\.\d{3}", printed), printed
    record = project.runs[-1]
    assert record["state"] == "done"
    assert stages(record, "done") == set(record["nodes"])
    assert project.versions() == [1]
    # Each stage tells what came of it.
    assert re.search(r"PointInTimeJoin .*train \d", printed), printed
    assert re.search(r"SensorExampleGen-telemetry .*readings", printed), printed


def test_the_run_leaves_a_page_about_itself(project: Project) -> None:
    record = project.runs[-1]
    page = (record["folder"] / "report.html").read_text()
    assert "Version 1 was released" in page
    parts = re.findall(r'<section id="(\w+)">', page)
    assert set(parts) == {
        "stages",
        "data",
        "anomalies",
        "features",
        "training",
        "quality",
        "serving",
        "lineage",
    }
    assert "cannot be shown" not in page
    # The curves are drawn from the evaluation, the boxes and lines from the pipeline.
    assert 'aria-label="ROC curve"' in page and 'aria-label="Calibration"' in page
    assert page.count('<rect x="') > len(record["nodes"])
    assert ["AnomalyGate", "Transform"] in record["edges"]
    assert len(page) < 1_000_000
    other = project.folder / "page.html"
    assert project.call("report", record["run_id"], "--output", str(other)) == f"{other}\n"
    assert other.read_text() == page


def test_the_run_tells_prometheus_what_the_dashboards_ask(project: Project) -> None:
    """The services lane fills a Prometheus with the same metrics, written by such a run."""
    written = project.folder / "var/metrics/pipeline.prom"
    known = ROOT / "tests/infra/monitoring/pipeline.prom"
    assert metrics(written) == metrics(known)


@pytest.mark.smoke
def test_the_version_answers_through_both_signatures(project: Project) -> None:
    joined = next((project.folder / "var/pipeline/PointInTimeJoin/examples").iterdir())
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, str(project.model_folder / "1"), str(joined)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers["example"]) == 4
    assert answers["column"] == pytest.approx(answers["example"], abs=1e-6)
    assert not answers["label"]


def test_every_log_line_is_json_with_the_run(project: Project) -> None:
    record = project.runs[-1]
    lines = (record["folder"] / "log.jsonl").read_text().splitlines()
    entries = records.read(lines)
    assert {e["run_id"] for e in entries} == {record["run_id"]}
    assert set(record["nodes"]) <= {e.get("node") for e in entries}


@pytest.mark.smoke
def test_a_run_id_leads_from_ingestion_to_a_served_prediction(project: Project) -> None:
    ready, access = project.folder / "ready.json", project.folder / "var/logs/access.jsonl"
    access.parent.mkdir(exist_ok=True)
    ports = ("--port", "0", "--rest-api-port", "0", "--ready-file", str(ready))
    server = project.start("serve", *ports, "--access-log", str(access))
    try:
        while not ready.exists():
            assert server.poll() is None, server.communicate()
            time.sleep(0.1)
        url = f"http://127.0.0.1:{json.loads(ready.read_text())['rest']}"
        while "AVAILABLE" not in patient.get(f"{url}/v1/models/plant-failures").text:
            time.sleep(0.1)
        printed = project.call("predict", "--entity", "3", "--server", url, "--timeout", "60")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=300)
    (answered,) = (
        line
        for line in records.read(access.read_text().splitlines())
        if line["method"] == "predict"
    )
    assert f"request {answered['request_id']}" in printed
    assert answered["model_version"] == 1
    log = project.folder / "var/runs" / answered["run_id"] / "log.jsonl"
    lines = records.read(log.read_text().splitlines())
    assert {"SqlExampleGen-observations", "Trainer"} <= {line.get("node") for line in lines}


def test_what_was_served_is_looked_at(project: Project) -> None:
    """The server that answered above kept the request, and the release what to compare it with."""
    printed = project.call("monitor", "--json")
    seen = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    assert (seen["requests"], seen["examples"], seen["version"]) == (1, 1, 1)
    assert seen["state"] == "too few"
    assert not any("x-observation" in note for note in seen["notes"])
    answers = project.model_folder / "1/assets.extra/predictions.parquet"
    assert pq.read_table(answers).column_names == ["classes", "probabilities"]


def test_second_run_is_cached_and_pushes_nothing_new(project: Project) -> None:
    printed = project.call("run")
    record = project.runs[-1]
    # Version 1 serves now: what compares with it runs again, nothing else.
    assert stages(record, "done") == {"Champion", "AnomalyGate", "Evaluator", "VersionPusher"}
    assert "nothing new to push: the same model is version 1 already" in printed
    assert project.versions() == [1]
    printed = project.call("run")
    assert stages(project.runs[-1], "done") == set(), printed


def test_later_as_of_compares_with_the_champion(project: Project) -> None:
    printed = project.call("run", "--as-of", "2025-02-28")
    assert re.search(r"version 2 pushed: auc 0\.\d{3}, [+-]0\.\d{3} over version 1", printed)
    assert project.versions() == [1, 2]
    release = json.loads((project.model_folder / "2/assets.extra/release.json").read_text())
    assert release["baseline_version"] == 1
    assert release["lineage"]["as_of"] == "2025-02-28T00:00:00Z"
    assert release["lineage"]["run_id"] == project.runs[-1]["run_id"]
    listed = project.call("versions")
    assert re.search(r"2 +serves", listed), listed


def test_a_worse_model_is_not_pushed(project: Project) -> None:
    project.change(evaluation={"metrics": {"auc": {"min": 0.999}}})
    printed = project.call("run", "--as-of", "2025-02-28")
    assert re.search(r"not pushed, because auc 0\.\d+ is below 0\.999", printed), printed
    assert project.versions() == [1, 2]
    page = (project.runs[-1]["folder"] / "report.html").read_text()
    assert "The new model was not released" in page and "Version 2 still serves." in page
    project.change(evaluation={"metrics": {"auc": {"min": 0.5, "may_drop": 0.5}}})


def test_partial_run_takes_over_what_lies_before(project: Project) -> None:
    project.call("run", "--from", "Evaluator", "--as-of", "2025-02-28")
    record = project.runs[-1]
    assert {"PointInTimeJoin", "Transform", "Trainer"} <= stages(record, "skipped")
    assert record["nodes"]["Evaluator"] in ("done", "cached")
    page = (record["folder"] / "report.html").read_text()
    assert "taken over" in page and '<section id="features">' in page
    printed = project.call("run", "--to", "Evaluatr", code=1)
    assert "did you mean 'Evaluator'?" in printed


def test_changed_data_is_noticed_though_the_query_stays(project: Project) -> None:
    path = next((project.folder / "var/demo/telemetry").rglob("*.csv"))
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    project.call("run", "--to", "PointInTimeJoin", "--as-of", "2025-02-28")
    record = project.runs[-1]
    assert record["nodes"]["SensorExampleGen-telemetry"] == "done"
    assert record["nodes"]["SqlExampleGen-observations"] == "cached"
