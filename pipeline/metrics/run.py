"""All samples of a local run: from its record, ML Metadata and the artifacts' reports."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from components.ingest.durations import MICROSECONDS, parse_instant
from pipeline import history
from pipeline.metrics import stages
from pipeline.metrics.scheme import Sample


def of(folder: pathlib.Path, success_within: int) -> tuple[list[Sample], list[str]]:
    """The samples of a run that has ended.

    Args:
      folder: the run's, below ``runs`` in the folder that holds all that runs make.
      success_within: microseconds; see ``settings.monitoring``.

    Returns:
      The samples, and what went wrong, a sentence each.
    """
    record = _record(folder)
    samples, problems = list(_of_record(folder, record, success_within)), []
    root = folder.parent.parent
    for stage, (execution, outputs) in history.executions(
        root / "metadata.db", record["run_id"]
    ).items():
        told, wrong = stages.of(stage, {output.key: output.uri for output in outputs})
        samples += told
        problems += wrong
        refused = root / "pipeline" / stage / "refused" / f"{execution}.json"
        if refused.is_file():
            samples += stages.of_anomalies(json.loads(refused.read_text(encoding="utf-8")))
    return samples, problems


def _of_record(
    folder: pathlib.Path, record: Mapping[str, Any], success_within: int
) -> Iterator[Sample]:
    yield Sample("pipeline_run_info", 1, {name: record[name] for name in ("run_id", "as_of")})
    yield Sample("pipeline_run_success", record["state"] == "done")
    yield Sample("pipeline_run_end_timestamp_seconds", _seconds(record["ended"]))
    duration = _seconds(record["ended"]) - _seconds(record["began"])
    yield Sample("pipeline_run_duration_seconds", duration)
    yield Sample("pipeline_success_due_seconds", success_within / MICROSECONDS["s"])
    if (succeeded := _last_success(folder.parent)) is not None:
        yield Sample("pipeline_last_success_timestamp_seconds", succeeded)
    for stage, state in record["nodes"].items():
        yield Sample("pipeline_stage_state", 1, {"stage": stage, "state": state})
        if stage in record["seconds"]:
            yield Sample(
                "pipeline_stage_duration_seconds", record["seconds"][stage], {"stage": stage}
            )


def _record(folder: pathlib.Path) -> Mapping[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def _seconds(instant: str) -> float:
    return parse_instant(instant) / MICROSECONDS["s"]


def _last_success(runs: pathlib.Path) -> float | None:
    """When the newest run ended that got through all stages, however few of them ran anew."""
    for path in sorted(runs.glob("*/run.json"), reverse=True):
        record = _record(path.parent)
        pushed = record["nodes"].get("VersionPusher") in ("done", "cached")
        if record["state"] == "done" and pushed and record.get("ended"):
            return _seconds(record["ended"])
    return None
