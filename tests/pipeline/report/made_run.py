"""A run's folder as a run leaves it, made by hand in a moment: records, metadata and artifacts.

Names are hostile where a project chooses them, so that a page that does not escape them shows it.
"""

import json
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import numpy as np
from ml_metadata.proto import metadata_store_pb2
from tensorflow_metadata.proto.v0 import statistics_pb2

from pipeline import history

HOSTILE = "<script>alert(1)</script>"
"""A source's name, a feature's and a slice's."""

EDGES = [
    ["SqlExampleGen-rows", "PointInTimeJoin"],
    [f"SensorExampleGen-{HOSTILE}", "PointInTimeJoin"],
    ["PointInTimeJoin", "StatisticsGen"],
    ["StatisticsGen", "AnomalyGate"],
    ["AnomalyGate", "Trainer"],
    ["Trainer", "Evaluator"],
    ["Trainer", "ServingGate"],
    ["Evaluator", "VersionPusher"],
    ["ServingGate", "VersionPusher"],
]
STAGES = sorted(
    dict.fromkeys(name for edge in EDGES for name in edge),
    key=lambda name: "ExampleGen" not in name,
)

FINDING = {
    "feature": HOSTILE,
    "split": "train",
    "reason": "FLOAT_TYPE_BIG_FLOAT",
    "kind": "schema",
    "rule": "values lie in the schema's range",
    "seen": "Unexpectedly high value: 900",
    "mend": "mend the source or its unit",
    "passes": None,
}


def anomalies(*findings: dict[str, Any]) -> dict[str, Any]:
    """AnomalyGate's report."""
    moved = {"measure": "JENSEN_SHANNON_DIVERGENCE", "threshold": 0.3}
    return {
        "summary": f"{len(findings)} anomalies" if findings else "no anomaly",
        "stops": bool(findings),
        "compared_with_champion": False,
        "findings": list(findings),
        "drift": [],
        "skew": [{"feature": HOSTILE, "value": 0.12, **moved}],
    }


def plots(task: str = "binary") -> dict[str, Any]:
    """Evaluator's ``plots.json``."""
    if task == "multiclass":
        counts = [["a", "a", 50], ["a", "b", 10], [HOSTILE, "b", 5], ["b", "b", 35]]
        return {"candidate": {"class_counts": counts}}
    if task == "regression":
        actual = np.linspace(0, 100, 200)
        return {"candidate": {"answer_sample": np.stack([actual, actual * 0.9 + 4]).T.tolist()}}
    steps = np.linspace(0, 1, 21)
    curve = {
        "thresholds": steps.tolist(),
        "true_positives": (100 * (1 - steps**2)).round().tolist(),
        "false_positives": (900 * (1 - steps) ** 3).round().tolist(),
        "true_negatives": (900 - 900 * (1 - steps) ** 3).round().tolist(),
        "false_negatives": (100 * steps**2).round().tolist(),
    }
    model = {
        "curve": curve,
        "calibration": [
            {"examples": 200.0, "predicted": p, "positives": round(200 * p)} for p in (0.05, 0.3)
        ],
        "slices": [{"slice": {"model": HOSTILE}, "positives": 40.0, "negatives": 300.0}],
    }
    return {"candidate": model, "champion": model}


def reports() -> dict[tuple[str, str, str], Any]:
    """By stage, output and file, what a run that released a version leaves."""
    metrics = {"example_count": 1000.0, "auc": 0.91}
    sensor = f"SensorExampleGen-{HOSTILE}"
    split = {"first": "2025-01-01T00:00:00Z", "last": "2025-01-09T00:00:00Z"}
    begin, end = "2025-01-01T00:00:00Z", "2025-01-10T00:00:00Z"
    return {
        ("SqlExampleGen-rows", "report", "report.json"): {
            "rows": 1100,
            "rows_outside": 3,
            "first": begin,
            "last": end,
            "spans": {
                "of": "days",
                "read": 2,
                "reused": 7,
                "rows_read": 200,
                "newest_read": "2025-01-09",
            },
        },
        (sensor, "report", "report.json"): {
            "readings": {
                "read": 5000,
                "used": 4800,
                "missing": 20,
                "ignored": 0,
                "outside": 80,
                "rejected": 100,
                "rejected_share": 0.02,
            },
            "rejected": {
                "late": {
                    "readings": 100,
                    "means": "the reading was received late",
                    "examples": [{"file": "a.csv", "line": 3, "value": HOSTILE}],
                }
            },
            "time": {"seen": [begin, end], "used": [begin, end]},
            "channels": {
                HOSTILE: {
                    "used": 4800,
                    "missing": 20,
                    "rejected": {"late": 100},
                    "min": 1,
                    "max": 9,
                }
            },
            "gaps": {
                "by_channel": {HOSTILE: {"count": 2, "longest": "5.00h"}},
                "longest": [
                    {"entity": HOSTILE, "channel": HOSTILE, "begin": begin, "length": "5.00h"}
                ],
            },
        },
        ("PointInTimeJoin", "report", "report.json"): {
            "horizon": "24h",
            "rows": {"train": 900, "eval": 100},
            "splits": {
                "train": {"begin": begin, "end": "2025-01-08T00:00:00Z", "rows": 900, **split}
                | {"classes": {"0": 800, "1": 100}},
                "eval": {"begin": "2025-01-09T00:00:00Z", "end": end, "rows": 100, **split}
                | {"classes": {"0": 88, "1": 12}},
            },
            "spine": {"name": "rows", "rows": 1100, "dropped": {"embargo": 100}},
            "sources": {
                f"{HOSTILE}/every_1h": {
                    "left_out": {},
                    "matched_share": 0.97,
                    "age_median_hours": 0.5,
                }
            },
            "warnings": [f"{HOSTILE}: 1 of 20 entities are not in it"],
        },
        ("AnomalyGate", "report", "report.json"): anomalies(),
        ("Trainer", "model_run", "training.json"): {
            "strategy": {"replicas": 1, "devices": ["CPU:0"], "why": "this machine has no GPU"},
            "precision": "float32",
            "parameters": 6145,
            "best_epoch": 2,
            "stopped_early": True,
            "input_examples_per_second": 90000.0,
            "gpu_memory_peak_bytes": {},
            "epochs": [
                {
                    "epoch": number,
                    "seconds": 2.0,
                    "examples_per_second": 1000.0,
                    "step_seconds": {"total": 0.6, "mean": 0.003, "p50": 0.002, "p99": 0.01},
                    "input_wait_seconds": {"total": 0.03 * number},
                    "learning_rate": 0.001,
                    "metrics": {"loss": 1 / number, "val_loss": 1.1 / number, "val_auc": 0.9},
                }
                for number in (1, 2, 3)
            ],
        },
        ("Evaluator", "evaluation", "evaluation.json"): {
            "blessed": True,
            "metrics": metrics,
            "baseline_metrics": metrics | {"auc": 0.9},
            "baseline_version": 6,
            "thresholds": {"auc": {"min": 0.8}},
            "failures": [],
            "slices": [
                {
                    "slice": {"model": HOSTILE},
                    "metrics": metrics | {"example_count": 340.0},
                    "baseline_metrics": metrics,
                }
            ],
            "note": "",
            "reasons": [],
        },
        ("Evaluator", "evaluation", "plots.json"): plots(),
        ("ServingGate", "blessing", "report.json"): {
            "blessed": True,
            "reasons": [],
            "measured": {
                "checked": 600,
                "memory_mb": 647.2,
                "others_cpu": 0.4,
                "rate": 100.0,
                "sent": 500,
                "failed": 0,
                "tried_p99_ms": [82.0, 18.4],
                "latency_p50_ms": 6.5,
                "latency_p95_ms": 12.8,
                "latency_p99_ms": 18.4,
            },
            "budget": {"latency_p99_ms": 50.0, "memory_mb": 4096.0},
        },
        ("VersionPusher", "pushed_model", "pushed.json"): {
            "pushed": True,
            "created": True,
            "version": 7,
            "state": "stable",
            "serves": 7,
            "reason": "blessed by evaluation, serving gate",
            "metrics": metrics,
            "baseline_metrics": metrics | {"auc": 0.9},
            "baseline_version": 6,
        },
    }


def statistics() -> statistics_pb2.DatasetFeatureStatisticsList:
    """A numeric feature's and a text feature's, each with a hostile name."""
    made = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = made.datasets.add(num_examples=100)
    number = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.FLOAT)
    number.path.step.append(HOSTILE)
    number.num_stats.mean, number.num_stats.max = 4.5, 10.0
    number.num_stats.common_stats.num_non_missing = 95
    number.num_stats.common_stats.num_missing = 5
    histogram = number.num_stats.histograms.add()
    for place in range(10):
        histogram.buckets.add(low_value=place, high_value=place + 1, sample_count=10)
    text = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
    text.path.step.append("model")
    text.string_stats.unique = 2
    text.string_stats.common_stats.num_non_missing = 100
    for label, count in ((HOSTILE, 60), ("plain", 40)):
        text.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
    return made


def make(
    root: Path,
    found: dict[tuple[str, str, str], Any] | None = None,
    *,
    state: str = "done",
    states: dict[str, str] | None = None,
    error: str = "",
    to_nodes: tuple[str, ...] = (),
    run_id: str = "20250110-000000-abcd",
) -> Path:
    """Makes a run's folder.

    Args:
      root: the folder that holds all that runs make.
      found: what stages left; None for ``reports()``.
      state: the run's.
      states: of stages that did not end as ``done``.
      error: what the run failed with.
      to_nodes: the stages that it was to end after.
      run_id: its id.

    Returns:
      The run's folder.
    """
    found = reports() if found is None else found
    folder = root / "runs" / run_id
    folder.mkdir(parents=True)
    settings = root / "settings.yaml"
    settings.write_text(f"project: {{name: plant}} # {HOSTILE}\n")
    nodes = dict.fromkeys(STAGES, "done") | (states or {})
    record = {
        "run_id": run_id,
        "state": state,
        "as_of": "2025-01-11T00:00:00Z",
        "began": "2025-01-11T01:00:00Z",
        "ended": None if state == "running" else "2025-01-11T01:02:30Z",
        "nodes": nodes,
        "seconds": {name: 1.5 for name, known in nodes.items() if known != "waiting"},
        "edges": EDGES,
        "results": {"SqlExampleGen-rows": f"1,100 rows of {HOSTILE}"},
        "decision": "version 7 pushed" if nodes["VersionPusher"] == "done" else "",
        "error": error,
    }
    plan = {
        "settings": str(settings),
        "to_nodes": list(to_nodes),
        "inputs": {
            "lineage": {"settings": "0", "schema": "1", "code": "2", "commit": "abc+"},
            "watermarks": {"rows": "3"},
            "trainer_config": {},
        },
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "plan.json").write_text(json.dumps(plan))
    ran = [name for name, known in nodes.items() if known not in ("waiting", "running")]
    _metadata(root, run_id, {s: [o for n, o, _ in found if n == s] for s in ran})
    for (stage, output, file), content in found.items():
        place = root / "pipeline" / stage / output / "1"
        place.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(content if isinstance(content, str) else json.dumps(content))
    if "StatisticsGen" in ran:
        for split in ("train", "eval"):
            place = root / f"pipeline/StatisticsGen/statistics/1/Split-{split}"
            place.mkdir(parents=True)
            (place / "FeatureStats.pb").write_bytes(statistics().SerializeToString())
    return folder


def _metadata(root: Path, run_id: str, stages: dict[str, list[str]]) -> None:
    """ML Metadata's store, as TFX fills it."""
    store: mlmd.MetadataStore = history.open_store(root / "metadata.db")
    types = {
        kind: store.put_context_type(metadata_store_pb2.ContextType(name=kind))
        for kind in ("pipeline_run", "node")
    }
    execution_type = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Stage"))
    artifact_type = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Report"))
    (run,) = store.put_contexts(
        [metadata_store_pb2.Context(type_id=types["pipeline_run"], name=run_id)]
    )
    for stage, outputs in stages.items():
        (node,) = store.put_contexts(
            [metadata_store_pb2.Context(type_id=types["node"], name=f"plant.{stage}")]
        )
        made = []
        for output in dict.fromkeys(
            [*outputs, *(["statistics"] if stage == "StatisticsGen" else [])]
        ):
            event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
            event.path.steps.add(key=output)
            place = root / "pipeline" / stage / output / "1"
            made.append((metadata_store_pb2.Artifact(type_id=artifact_type, uri=str(place)), event))
        store.put_execution(
            metadata_store_pb2.Execution(type_id=execution_type),
            made,
            store.get_contexts_by_id([run, node]),
        )
