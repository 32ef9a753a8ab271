"""What a run tells Prometheus, from the reports that its stages leave."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest

from pipeline.kubeflow import entrypoint
from pipeline.kubeflow.container.invocation import Invocation
from pipeline.metrics import publish, run, stages, task
from pipeline.metrics.scheme import METRICS, Sample, registry
from pipeline.settings import Settings, load_settings
from tests import demo_project
from tests.pushgateway import Pushgateway, pushgateway

TRAINING = {
    "strategy": {"chosen": "mirrored", "replicas": 2},
    "precision": "mixed_float16",
    "parameters": 6145,
    "epochs": [
        {
            "epoch": number,
            "seconds": 2.0,
            "examples_per_second": 1000.0 * number,
            "step_seconds": {"total": 1.0, "mean": 0.003, "p50": 0.002, "p99": 0.01},
            "input_wait_seconds": {"total": 0.3, "mean": 9e-4, "p50": 1e-4, "p99": 0.008},
            "metrics": {"loss": 1 / number, "val_auc": 0.9},
        }
        for number in (1, 2, 3)
    ],
    "best_epoch": 2,
    "gpu_memory_peak_bytes": {"GPU:0": 2**30},
}
FINDINGS = [
    {"kind": "schema", "passes": None},
    {"kind": "schema", "passes": None},
    {"kind": "skew", "passes": "validation.skew"},
]


def told(samples: Any) -> dict[str, float]:
    """Values by name and labels, as PromQL writes them."""
    return {
        name + ("{" + ",".join(f"{k}={v}" for k, v in sorted(labels.items())) + "}"): value
        for name, value, labels in samples
    }


def of(folder: Path, stage: str, output: str, file: str, report: Any) -> dict[str, float]:
    (folder / file).write_text(json.dumps(report))
    samples, problems = stages.of(stage, {output: folder})
    assert problems == []
    return told(samples)


def test_training(tmp_path: Path) -> None:
    found = of(tmp_path, "Trainer", "model_run", "training.json", TRAINING)
    assert found["training_info{precision=mixed_float16,strategy=mirrored}"] == 1
    assert found["training_duration_seconds{}"] == 6
    assert found["training_examples_per_second{}"] == 3000  # the last epoch's
    assert found["training_step_seconds{statistic=p99}"] == 0.01
    assert found["training_input_wait_seconds{statistic=p99}"] == 0.008
    assert found["training_input_wait_ratio{}"] == pytest.approx(0.3)
    assert found["training_best_epoch{}"] == 2
    assert found["training_metric{metric=loss}"] == 0.5  # the best epoch's
    assert found["training_gpu_memory_peak_bytes{device=GPU:0}"] == 2**30


def test_a_training_that_has_just_begun(tmp_path: Path) -> None:
    found = of(tmp_path, "Trainer", "model_run", "training.json", TRAINING | {"epochs": []})
    assert found["training_epochs{}"] == 0
    assert "training_duration_seconds{}" not in found


def test_a_training_that_does_not_tell_its_wait(tmp_path: Path) -> None:
    epochs = [{k: v for k, v in e.items() if "wait" not in k} for e in TRAINING["epochs"]]
    report = TRAINING | {"epochs": epochs, "input_examples_per_second": 9000, "best_epoch": None}
    found = of(tmp_path, "Trainer", "model_run", "training.json", report)
    assert found["training_input_examples_per_second{}"] == 9000
    assert not [name for name in found if "wait" in name]
    assert found["training_best_epoch{}"] == 3  # without early stopping the last one's stay


def test_rows_by_day(tmp_path: Path) -> None:
    spans = {"of": "days", "read": 2, "reused": 73, "rows_read": 90}
    report = {"rows": 4000, "rows_outside": 0, "spans": spans}
    found = of(tmp_path, "SqlExampleGen-errors", "report", "report.json", report)
    place = "source=errors,stage=SqlExampleGen-errors"
    assert found[f"pipeline_rows_used{{{place}}}"] == 4000
    assert found[f"pipeline_source_spans{{{place},state=read}}"] == 2
    assert found[f"pipeline_source_spans{{{place},state=reused}}"] == 73


def test_join(tmp_path: Path) -> None:
    feed = {"rows": 100, "left_out": {"no time": 10}, "matched_share": 0.5}
    report = {
        "rows": {"train": 80, "eval": 15},
        "spine": {"name": "observations", "rows": 100, "dropped": {"embargo": 5}},
        "sources": {"errors": feed, "none": feed | {"matched_share": None}},
    }
    found = of(tmp_path, "PointInTimeJoin", "report", "report.json", report)
    assert found["pipeline_rows_joined{split=eval}"] == 15
    assert found["pipeline_rows_used{source=observations,stage=PointInTimeJoin}"] == 95
    assert found["pipeline_rows_used{source=errors,stage=PointInTimeJoin}"] == 90
    rejected = "pipeline_rows_rejected{reason=no time,source=errors,stage=PointInTimeJoin}"
    assert found[rejected] == 10
    assert "pipeline_rows_matched_ratio{source=none}" not in found


def test_anomalies_that_stop_and_that_pass() -> None:
    found = told(stages.of_anomalies({"findings": FINDINGS, "stops": True}))
    assert found["pipeline_anomalies{kind=schema,outcome=stops}"] == 2
    assert found["pipeline_anomalies{kind=skew,outcome=passes}"] == 1
    assert found["pipeline_anomalies{kind=drift,outcome=stops}"] == 0  # told, not left out
    assert found["pipeline_gate_blessed{gate=anomalies}"] == 0


def test_a_model_that_is_refused(tmp_path: Path) -> None:
    evaluation = {
        "blessed": False,
        "metrics": {"auc": 0.7, "precision": None},
        "baseline_metrics": {"auc": 0.8},
        "thresholds": {"auc": {"min": 0.75, "may_drop": None}},
    }
    found = of(tmp_path, "Evaluator", "evaluation", "evaluation.json", evaluation)
    assert found == {
        "pipeline_gate_blessed{gate=evaluation}": 0,
        "pipeline_evaluation_metric{metric=auc,model=candidate}": 0.7,
        "pipeline_evaluation_metric{metric=auc,model=champion}": 0.8,
        "pipeline_evaluation_threshold{metric=auc,rule=min}": 0.75,
    }
    unloadable = {"blessed": False, "measured": {}, "budget": {"latency_p99_ms": 50}}
    found = of(tmp_path, "ServingGate", "blessing", "report.json", unloadable)
    assert found["pipeline_gate_latency_budget_seconds{}"] == 0.05
    assert "pipeline_gate_latency_p99_seconds{}" not in found
    push = {"version": None, "created": False, "serves": 6}
    found = of(tmp_path, "VersionPusher", "pushed_model", "pushed.json", push)
    assert found == {"pipeline_version_pushed{}": 0, "pipeline_version_serving{}": 6}


def test_a_stage_without_a_report_tells_nothing(tmp_path: Path) -> None:
    assert stages.of("Transform", {"transform_graph": tmp_path}) == ([], [])
    assert stages.of("Trainer", {}) == ([], [])
    assert stages.of("Trainer", {"model_run": tmp_path}) == ([], [])


def test_a_report_of_older_code_takes_no_other_metric_along(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    for text, why in (("{}", "KeyError: 'rows_outside'"), ("{", "JSONDecodeError: "), ("3", "Typ")):
        path.write_text(text)
        samples, (problem,) = stages.of("SqlExampleGen-errors", {"report": tmp_path})
        assert samples == []
        assert problem.startswith(f"metrics of SqlExampleGen-errors not told: {path}: {why}")


def record(runs: Path, run_id: str, state: str, pusher: str, ended: str) -> Path:
    folder = runs / run_id
    folder.mkdir(parents=True)
    fields = {
        "run_id": run_id,
        "state": state,
        "as_of": "2025-04-17T00:00:00Z",
        "began": "2026-01-01T00:00:00Z",
        "ended": ended,
        "nodes": {"AnomalyGate": "done", "VersionPusher": pusher},
        "seconds": {"AnomalyGate": 1.5},
    }
    (folder / "run.json").write_text(json.dumps(fields))
    return folder


def test_a_failed_run_keeps_the_last_success(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    record(runs, "1", "done", "cached", "2026-01-01T00:01:00Z")
    record(runs, "2", "done", "skipped", "2026-01-01T00:02:00Z")  # --to: got not through
    failed = record(runs, "3", "failed", "waiting", "2026-01-01T00:03:00Z")
    samples, problems = run.of(failed, 3_600_000_000)
    assert problems == []
    found = told(samples)
    assert found["pipeline_run_success{}"] == 0
    assert found["pipeline_run_duration_seconds{}"] == 180
    ended = found["pipeline_run_end_timestamp_seconds{}"]
    assert ended - found["pipeline_last_success_timestamp_seconds{}"] == 120
    assert found["pipeline_success_due_seconds{}"] == 3600
    assert found["pipeline_stage_state{stage=VersionPusher,state=waiting}"] == 1
    assert found["pipeline_stage_duration_seconds{stage=AnomalyGate}"] == 1.5


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    loaded = load_settings(demo_project.SETTINGS)
    monitoring = loaded.monitoring.model_copy(update={"textfile": str(tmp_path / "m/run.prom")})
    return loaded.model_copy(update={"monitoring": monitoring})


def pushing_to(settings: Settings, url: str) -> Settings:
    changed = {"pushgateway": url, "push_seconds": 0.3}
    monitoring = settings.monitoring.model_copy(update=changed)
    return settings.model_copy(update={"monitoring": monitoring})


def test_the_textfile_is_replaced_whole(settings: Settings, tmp_path: Path) -> None:
    assert publish.publish(settings, [Sample("training_epochs", 3)]) == []
    assert publish.publish(settings, [Sample("training_parameters", 9)]) == []
    assert publish.publish(settings, [Sample("training_replicas", 1)], "monitor") == []
    text = (tmp_path / "m/run.prom").read_text()
    assert text.splitlines()[-1] == 'training_parameters{pipeline="plant-failures"} 9.0'
    assert "training_epochs" not in text
    assert {p.name for p in (tmp_path / "m").iterdir()} == {"run.prom", "run-monitor.prom"}


def test_a_folder_that_cannot_be_written_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("no folder")
    (problem,) = publish.publish(settings, [Sample("training_epochs", 3)])
    assert problem.startswith(f"metrics not written: {tmp_path}/m/run.prom (monitoring.textfile): ")


@pytest.fixture
def gateway() -> Iterator[tuple[str, type[Pushgateway]]]:
    with pushgateway() as running:
        yield running


def test_a_run_is_pushed_under_its_pipeline(settings: Settings, gateway: Any) -> None:
    url, handler = gateway
    assert publish.publish(pushing_to(settings, url), [Sample("training_epochs", 3)]) == []
    ((method, path, body),) = handler.pushed
    assert (method, path) == ("PUT", "/metrics/job/pipeline/pipeline/plant-failures")
    assert 'training_epochs{pipeline="plant-failures"} 3.0' in body
    handler.status = 400
    (problem,) = publish.publish(pushing_to(settings, url), [Sample("training_epochs", 3)])
    assert problem.startswith(f"metrics not pushed to {url} (monitoring.pushgateway): ")


def test_a_pushgateway_that_says_nothing_costs_seconds(settings: Settings) -> None:
    """It takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        (problem,) = publish.publish(pushing_to(settings, url), [Sample("training_epochs", 3)])
        assert "timed out" in problem
        assert time.monotonic() - began < 60


def test_a_task_on_a_cluster(
    settings: Settings, gateway: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = gateway
    assert task.environment(settings) == {}
    assert task.push("Trainer", {}, 1.0, True) == []  # nothing says where
    for name, value in task.environment(pushing_to(settings, url)).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "pushed.json").write_text('{"version": 7, "created": true, "serves": 7}')
    outputs = {"pushed_model": tmp_path}
    assert task.push("VersionPusher_-7", outputs, 2.0, True) == []
    assert task.push("VersionPusher", {}, 1.0, False) == []
    (tmp_path / "pushed.json").write_text("{}")
    (problem,) = task.push("VersionPusher", outputs, 2.0, True)
    assert problem.endswith("/pushed.json: KeyError: 'created'")
    (method, path, done), (_, _, failed), (_, _, broken) = handler.pushed
    assert method == "POST"  # what the group told before stays: a last success
    assert path == "/metrics/job/pipeline/pipeline/plant-failures/stage/VersionPusher"
    of = 'pipeline="plant-failures",stage="VersionPusher"'
    assert f'pipeline_stage_state{{{of},state="done"}} 1.0' in done
    assert "pipeline_version_serving" in done
    assert "pipeline_last_success_timestamp_seconds{" in done
    assert f'pipeline_stage_state{{{of},state="failed"}} 1.0' in failed
    assert "pipeline_last_success_timestamp_seconds{" not in failed
    assert "pipeline_stage_state" in broken


def test_metrics_fail_no_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Invocation("run", "Trainer", {}, {}, {}, "")
    monkeypatch.setenv(task.VARIABLE, "no JSON")
    with entrypoint._told(asked):
        pass
    assert "metrics not told" in caplog.text
    with pytest.raises(RuntimeError, match="the task's own"), entrypoint._told(asked):
        raise RuntimeError("the task's own")


def test_names_say_their_unit_and_no_metric_is_made_up() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith(("pipeline_", "training_"))
        assert not metric.name.endswith(("_total", "_ms", "_percent", "_mb"))
        assert metric.meaning.endswith(".")
    with pytest.raises(KeyError):
        registry("p", [Sample("pipeline_rows", 1)])
    with pytest.raises(ValueError):
        registry("p", [Sample("pipeline_rows_joined", 1, {"part": "train"})])
    made = registry("p", [Sample("pipeline_rows_joined", 1, {"split": "train"})])
    assert b'pipeline_rows_joined{pipeline="p",split="train"} 1.0' in (
        prometheus_client.generate_latest(made)
    )
