"""The verb as a user meets it: what it prints, writes, ends with, and starts."""

import datetime
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result

from components.curated_schema.schema_file import columns, read_schema
from pipeline.__main__ import main
from serving.releases import PREDICTIONS, Releases
from tests import demo_project
from tests.pipeline.monitor.conftest import BEGIN, DAY, MODEL, keep, observed

pytestmark = pytest.mark.tfx
FEATURES = {"numeric": ["planned_load", "telemetry_temperature_mean_3h"], "categorical": ["model"]}
ONE = np.ones(1, np.float32)
UNTIL = datetime.datetime.fromtimestamp(BEGIN, datetime.timezone.utc).isoformat()


def rows(count: int, seed: int, warmer: float = 0.0) -> dict[str, np.ndarray]:
    """Requests' columns of ``count`` rows."""
    rng = np.random.default_rng(seed)
    return {
        "planned_load": rng.uniform(0.7, 1.1, count),
        "telemetry_temperature_mean_3h": rng.normal(60 + warmer, 5, count),
        "model": rng.choice(np.array([b"A10", b"B7"], object), count),
    }


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that keeps what the pipeline's keep; its model itself is not asked."""
    from pipeline.monitor.distances import as_examples, statistics_of

    folder = tmp_path_factory.mktemp("release")
    model = folder / "model"
    (model / "assets.extra").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"a model")
    rng = np.random.default_rng(5)
    answers = pa.table({"probabilities": rng.beta(1, 30, 4_000).astype(np.float32)})
    pq.write_table(answers, model / PREDICTIONS)
    for split, seed in (("train", 1), ("eval", 2)):
        table = pa.table({name: pa.array(list(v)) for name, v in rows(4_000, seed).items()})
        place = folder / "statistics" / f"Split-{split}"
        place.mkdir(parents=True)
        made = statistics_of(as_examples(table)).SerializeToString()
        (place / "FeatureStats.pb").write_bytes(made)
    return folder


@pytest.fixture
def project(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with that release and settings of three features."""
    monkeypatch.chdir(tmp_path)
    Releases(f"var/serving/{MODEL}").push(
        release / "model",
        {"metrics": {"auc": 0.9}},
        5,
        "a test",
        by="test",
        statistics=release / "statistics",
        schema=demo_project.SCHEMA,
    )
    settings = yaml.safe_load(demo_project.SETTINGS.read_text())
    settings |= {"features": FEATURES, "schema": str(demo_project.SCHEMA)}
    settings["serving"]["sampling"] = {"rate": 1.0}
    # No spine is there to ask for labels.
    settings["evaluation"] = {"metrics": {"calibration": {}}, "slices": []}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def asked(days: float, warmer: float = 0.0, count: int = 400, seed: int = 7) -> None:
    """Requests that end so many days before UNTIL, from 40 machines."""
    table, rng = rows(count, seed, warmer), np.random.default_rng(seed)
    answers = rng.beta(1, 30, count).astype(np.float32)
    kept = []
    for row in range(count):
        at = BEGIN - days * DAY - (count - row) * 60
        one = {name: values[row : row + 1] for name, values in table.items()}
        kept.append((at, observed(row % 40, at), one, {"probabilities": answers[row : row + 1]}))
    keep(Path("var/samples"), kept)


def monitor(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, ["monitor", "--until", UNTIL, *words])


def written() -> dict[str, Any]:
    return json.loads(Path("var/monitor/drift.json").read_text())


def test_features_are_columns_of_the_schema() -> None:
    known = columns(read_schema(demo_project.SCHEMA))
    assert {name for names in FEATURES.values() for name in names} <= known.keys()


def test_a_quiet_week(project: Path) -> None:
    asked(days=0)
    asked(days=7, seed=8)
    done = monitor()
    assert done.exit_code == 0, done.output
    assert re.search(r"Quiet: none of \d+ comparisons moved", done.output)
    assert "400 examples of 400 requests, about as telling as 40 entities" in done.output
    told = written()
    assert told["state"] == "quiet" and told["version"] == 1 and told["examples_before"] == 400
    kinds = {one["kind"] for one in told["comparisons"]}
    assert kinds == {"skew", "drift", "prediction", "missing", "unseen", "out_of_range"}
    metrics = Path("var/metrics/pipeline-monitor.prom").read_text()
    of = 'pipeline="plant-failures"'
    assert f"pipeline_monitor_examples{{{of}}} 400.0" in metrics
    assert f'pipeline_drift_distance{{feature="model",kind="skew",{of}}}' in metrics


def test_a_sensor_that_was_recalibrated(project: Path) -> None:
    asked(days=0, warmer=6.0)
    asked(days=7, seed=8)
    done = monitor("--json")
    assert done.exit_code == 3, done.output
    told = json.loads(done.stdout)
    assert told == written()
    moved = {(one["kind"], one["feature"]) for one in told["comparisons"] if one["moved"]}
    assert moved == {(kind, "telemetry_temperature_mean_3h") for kind in ("skew", "drift")}
    page = Path("var/monitor/drift.html").read_text()
    assert "2 of " in page and "telemetry_temperature_mean_3h" in page
    assert not re.search(r"https?://(?!www\.w3\.org)|<script|src=", page)
    # What Prometheus is told is what the rule compares.
    metrics = dict(
        line.rsplit(" ", 1)
        for line in Path("var/metrics/pipeline-monitor.prom").read_text().splitlines()
        if not line.startswith("#")
    )
    for kind in ("skew", "drift"):
        labels = f'{{feature="telemetry_temperature_mean_3h",kind="{kind}",pipeline="{MODEL}"}}'
        far, may = (
            float(metrics[f"pipeline_drift_{n}{labels}"]) for n in ("distance", "threshold")
        )
        assert far > may


def test_what_is_never_written_is_not_missing(project: Path) -> None:
    settings = yaml.safe_load(Path("settings.yaml").read_text())
    settings["serving"]["sampling"]["drop"] = ["planned_load", "machine_id"]
    Path("settings.yaml").write_text(yaml.safe_dump(settings))
    table = rows(400, 7)
    del table["planned_load"]
    one = [
        (BEGIN - 60 * row - 60, "", {n: v[row : row + 1] for n, v in table.items()}, {"y": ONE})
        for row in range(400)
    ]
    keep(Path("var/samples"), one)
    done = monitor("--all")
    assert done.exit_code == 0, done.output
    assert "planned_load" not in done.output
    assert "400 of 400 examples do not tell what they are about" in done.output


def test_too_little_to_say(project: Path) -> None:
    asked(days=0, warmer=50, count=40)
    done = monitor()
    assert done.exit_code == 0, done.output
    assert "this stretch has 40 examples, and min_examples is 200" in done.output
    assert "Too few examples to say anything" in done.output
    assert written()["comparisons"] == []
    assert "pipeline_drift" not in Path("var/metrics/pipeline-monitor.prom").read_text()
    assert monitor("--last", "30m").exit_code == 0 and written()["examples"] == 30
    since = (datetime.datetime.fromtimestamp(BEGIN - 600, datetime.timezone.utc)).isoformat()
    assert monitor("--since", since).exit_code == 0 and written()["examples"] == 10


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been started."""
    calls: list[list[str]] = []

    def run(words: list[str], check: bool) -> "subprocess.CompletedProcess[bytes]":
        calls.append(words[3:])
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr("pipeline.monitor.retrain.subprocess.run", run)
    return calls


def test_a_retrain_is_started_once(project: Path, started: list[list[str]]) -> None:
    asked(days=0, warmer=6.0)
    assert monitor().exit_code == 3 and not started  # nobody asked for it
    done = monitor("--retrain")
    assert done.exit_code == 3 and "A retrain was made" in done.output
    assert started == [["--settings", "settings.yaml", "run"]]
    done = monitor("--retrain")
    assert "No retrain: one was started at" in done.output and len(started) == 1
    record = json.loads(Path("var/monitor/retrain.json").read_text())
    assert "telemetry_temperature_mean_3h (skew)" in record["why"]
    record["at"] = "2020-01-01T00:00:00Z"
    Path("var/monitor/retrain.json").write_text(json.dumps(record))
    settings = yaml.safe_load(Path("settings.yaml").read_text())
    settings["monitoring"] = {"drift": {"retrain": "submit"}}
    Path("settings.yaml").write_text(yaml.safe_dump(settings))
    assert "A retrain was started" in monitor().output
    assert started[1:] == [["--settings", "settings.yaml", "submit", "--no-wait"]]
    assert monitor("--no-retrain").exit_code == 3 and len(started) == 2


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda s: s["serving"].pop("sampling"), "add serving.sampling to the settings"),
        (lambda s: s["serving"].update(model="other"), "no version in var/serving/other serves"),
        (lambda s: s["features"]["numeric"].append("no_such"), "trained with other settings"),
    ],
)
def test_what_cannot_be_looked_at(
    project: Path, break_it: Callable[[dict], object], told: str
) -> None:
    settings = yaml.safe_load(Path("settings.yaml").read_text())
    break_it(settings)
    Path("settings.yaml").write_text(yaml.safe_dump(settings))
    done = monitor()
    assert done.exit_code == 1, done.output
    assert told in done.output


def test_stretches_that_make_no_sense(project: Path) -> None:
    assert monitor("--since", "2025-01-01", "--window", "7d").exit_code == 2
    assert monitor("--since", "2026-01-01").exit_code == 2
    assert "'1 week'" in monitor("--window", "1 week").output
