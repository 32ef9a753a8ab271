"""What KFP's API tells of a run, as the states of its stages.

The API server lists the nodes of the Argo workflow. A task of the pipeline is there by its own
name once its driver is through, as ``NAME-driver`` from the beginning, and its container as
``executor``, which cannot be told from another task's.
"""

import datetime
from collections.abc import Collection
from typing import Any

from pipeline.kubeflow.submit.backend import RunState, Snapshot, Stage
from pipeline.local.events import State

_RUN: dict[str, RunState] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "PAUSED": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELING": "canceling",
    "CANCELED": "canceled",
}
_STAGE: dict[str, State] = {
    "RUNNING": "running",
    "PAUSED": "running",
    "CANCELING": "running",
    "SUCCEEDED": "done",
    "SKIPPED": "skipped",
    "FAILED": "failed",
    "CANCELED": "stopped",
}


def snapshot(run: Any, stages: Collection[str]) -> Snapshot:
    """Reads a ``V2beta1Run``.

    Args:
      run: what ``get_run`` gave.
      stages: the pipeline's nodes; what else the workflow has is left out.
    """
    details = (run.run_details.task_details if run.run_details else None) or []
    by_name = {detail.display_name: detail for detail in details}
    known = {}
    for name in stages:
        stage = _stage(by_name.get(name), by_name.get(f"{name}-driver"))
        if stage is not None:
            known[name] = stage
    error = run.error.message if run.error and run.error.message else ""
    return Snapshot(_RUN.get(str(run.state), "pending"), known, error)


def _stage(task: Any, driver: Any) -> Stage | None:
    """A stage runs from its driver's start on; a driver that fails is its stage's failure."""
    told = [part for part in (task, driver) if part is not None and part.state in _STAGE]
    if not told:
        return None
    state = _STAGE[told[0].state]
    if told[0] is driver and state == "done":
        state = "running"
    begin = _time((driver or task).start_time) or _time(told[0].start_time)
    if begin is None:
        return Stage(state)
    end = None if state == "running" else _time(told[0].end_time)
    end = end or datetime.datetime.now(datetime.timezone.utc)
    return Stage(state, max(0.0, (end - begin).total_seconds()))


def _time(value: datetime.datetime | None) -> datetime.datetime | None:
    """A time that has not come yet is sent as the beginning of 1970."""
    if value is None or value.year == 1970:
        return None
    return value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
