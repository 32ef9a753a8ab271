"""A task on a cluster tells a Pushgateway of itself: there is no run's process that could.

What it is to know stands in one environment variable, which the compiler sets.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from components.ingest.durations import MICROSECONDS
from pipeline.metrics import publish, stages
from pipeline.metrics.scheme import Sample, registry
from pipeline.settings import Settings
from pipeline.settings.monitoring import Monitoring

VARIABLE = "PIPELINE_MONITORING"
_LAST = "VersionPusher"


def environment(settings: Settings) -> dict[str, str]:
    """What a task's container is given; nothing without a Pushgateway."""
    if settings.monitoring.pushgateway is None:
        return {}
    told = settings.monitoring.model_dump(mode="json") | {"pipeline": settings.project.name}
    return {VARIABLE: json.dumps(told, sort_keys=True)}


def push(task: str, outputs: Mapping[str, Path], seconds: float, ok: bool) -> list[str]:
    """Tells the Pushgateway that the environment names, if it does.

    The group is the stage's. What it told before stays until it is told anew, so that a last
    success outlives later failures; a stage that is cached tells nothing.

    Args:
      task: its name; Vertex AI puts a number behind the stage's.
      outputs: the folders of its artifacts.
      seconds: how long it took.
      ok: whether it ended well.

    Returns:
      What went wrong, a sentence each.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return []
    told = json.loads(text)
    pipeline = told.pop("pipeline")
    monitoring = Monitoring.model_validate(told)
    assert monitoring.pushgateway is not None
    stage = re.sub(r"_-?\d+$", "", task)
    reported, problems = stages.of(stage, outputs)
    key = {"pipeline": pipeline, "stage": stage}
    made = registry(pipeline, [*_samples(stage, seconds, ok, monitoring.success_within), *reported])
    return problems + publish.push(
        monitoring.pushgateway, made, key, monitoring.push_seconds, replace=False
    )


def _samples(stage: str, seconds: float, ok: bool, success_within: int) -> Iterator[Sample]:
    now = time.time()
    state = {"stage": stage, "state": "done" if ok else "failed"}
    yield Sample("pipeline_stage_state", 1, state)
    yield Sample("pipeline_stage_duration_seconds", seconds, {"stage": stage})
    yield Sample("pipeline_run_success", ok)
    yield Sample("pipeline_run_end_timestamp_seconds", now)
    yield Sample("pipeline_success_due_seconds", success_within / MICROSECONDS["s"])
    if ok and stage == _LAST:
        yield Sample("pipeline_last_success_timestamp_seconds", now)
