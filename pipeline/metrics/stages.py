"""A stage's metrics, read from the reports among its artifacts, cached or not."""

import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.metrics.scheme import Sample
from pipeline.metrics.training import of_training

Report = Mapping[str, Any]


def of(stage: str, artifacts: Mapping[str, pathlib.Path]) -> tuple[list[Sample], list[str]]:
    """The samples of a stage; none for one that reports nothing.

    Args:
      stage: its name.
      artifacts: by output's name, the folder.

    Returns:
      The samples, and what went wrong, a sentence each: a stage from the cache may have been made
      by older code, whose report lacks what this code reads.
    """
    kind, _, source = stage.partition("-")
    output, file, reader = _READERS.get(kind, ("", "", of_anomalies))
    path = artifacts.get(output, pathlib.Path()) / file
    if not path.is_file():
        return [], []
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return list(reader(report, stage, source)), []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [], [f"metrics of {stage} not told: {path}: {type(error).__name__}: {error}"]


def _sql(report: Report, stage: str, source: str) -> Iterator[Sample]:
    place = {"stage": stage, "source": source}
    outside = report["rows_outside"]
    yield Sample("pipeline_rows_read", report["rows"] + outside, place)
    yield Sample("pipeline_rows_used", report["rows"], place)
    yield from _rejected(place, {"outside the time asked for": outside} if outside else {})
    yield from _spans(report, place)


def _spans(report: Report, place: dict[str, str]) -> Iterator[Sample]:
    for state in ("read", "reused") if "spans" in report else ():
        yield Sample("pipeline_source_spans", report["spans"][state], place | {"state": state})


def _sensor(report: Report, stage: str, source: str) -> Iterator[Sample]:
    place = {"stage": stage, "source": source}
    readings = report["readings"]
    yield Sample("pipeline_rows_read", readings["read"], place)
    yield Sample("pipeline_rows_used", readings["used"], place)
    yield Sample("pipeline_rejected_ratio", readings["rejected_share"], {"source": source})
    yield from _spans(report, place)
    yield from _rejected(
        place, {reason: told["readings"] for reason, told in report["rejected"].items()}
    )


def _join(report: Report, stage: str, _: str) -> Iterator[Sample]:
    for split, rows in report["rows"].items():
        yield Sample("pipeline_rows_joined", rows, {"split": split})
    spine = {"stage": stage, "source": report["spine"]["name"]}
    yield Sample("pipeline_rows_read", report["spine"]["rows"], spine)
    yield Sample("pipeline_rows_used", sum(report["rows"].values()), spine)
    yield from _rejected(spine, report["spine"]["dropped"])
    for source, feed in report["sources"].items():
        place = {"stage": stage, "source": source}
        yield Sample("pipeline_rows_read", feed["rows"], place)
        yield Sample("pipeline_rows_used", feed["rows"] - sum(feed["left_out"].values()), place)
        yield from _rejected(place, feed["left_out"])
        if feed["matched_share"] is not None:
            labels = {"source": source}
            yield Sample("pipeline_rows_matched_ratio", feed["matched_share"], labels)


def _rejected(place: dict[str, str], reasons: Mapping[str, int]) -> Iterator[Sample]:
    for reason, count in reasons.items():
        yield Sample("pipeline_rows_rejected", count, place | {"reason": reason})


def of_anomalies(report: Report, *_: str) -> Iterator[Sample]:
    """The samples of AnomalyGate's report, also of one that stopped the run."""
    found = [
        (finding["kind"], "stops" if finding["passes"] is None else "passes")
        for finding in report["findings"]
    ]
    for kind, outcome in itertools.product(
        ("schema", "serving", "drift", "skew"), ("stops", "passes")
    ):
        labels = {"kind": kind, "outcome": outcome}
        yield Sample("pipeline_anomalies", found.count((kind, outcome)), labels)
    yield Sample("pipeline_gate_blessed", not report["stops"], {"gate": "anomalies"})


def _evaluation(report: Report, *_: str) -> Iterator[Sample]:
    yield Sample("pipeline_gate_blessed", report["blessed"], {"gate": "evaluation"})
    for model, key in (("candidate", "metrics"), ("champion", "baseline_metrics")):
        for metric, value in report[key].items():
            if value is not None:
                labels = {"metric": metric, "model": model}
                yield Sample("pipeline_evaluation_metric", value, labels)
    for metric, bounds in report["thresholds"].items():
        for rule, bound in bounds.items():
            if bound is not None:
                labels = {"metric": metric, "rule": rule}
                yield Sample("pipeline_evaluation_threshold", bound, labels)


def _serving(report: Report, *_: str) -> Iterator[Sample]:
    yield Sample("pipeline_gate_blessed", report["blessed"], {"gate": "serving"})
    budget = report["budget"]["latency_p99_ms"]
    yield Sample("pipeline_gate_latency_budget_seconds", budget / 1000)
    measured = report["measured"].get("latency_p99_ms")
    if measured is not None:
        yield Sample("pipeline_gate_latency_p99_seconds", measured / 1000)


def _push(report: Report, *_: str) -> Iterator[Sample]:
    pushed = report["version"] if report["created"] else 0
    yield Sample("pipeline_version_pushed", pushed)
    yield Sample("pipeline_version_serving", report["serves"] or 0)


_READERS: dict[str, tuple[str, str, Callable[[Report, str, str], Iterator[Sample]]]] = {
    "SqlExampleGen": ("report", "report.json", _sql),
    "StoreExampleGen": ("report", "report.json", _sql),
    "SensorExampleGen": ("report", "report.json", _sensor),
    "PointInTimeJoin": ("report", "report.json", _join),
    "AnomalyGate": ("report", "report.json", of_anomalies),
    "Trainer": ("model_run", "training.json", of_training),
    "Evaluator": ("evaluation", "evaluation.json", _evaluation),
    "ServingGate": ("blessing", "report.json", _serving),
    "VersionPusher": ("pushed_model", "pushed.json", _push),
}
