"""Argo's nodes, as the API lists them, read as stages."""

import datetime

import pytest
from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run, V2beta1RunDetails

from pipeline.kubeflow.submit.backend import Stage
from pipeline.kubeflow.submit.kfp_states import snapshot

NEVER = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
BEGIN = datetime.datetime(2025, 5, 1, tzinfo=datetime.timezone.utc)


def node(name: str, state: str, begin: int, end: int | None = None) -> V2beta1PipelineTaskDetail:
    """A node that ran between two seconds."""
    return V2beta1PipelineTaskDetail(
        display_name=name,
        state=state,
        start_time=BEGIN + datetime.timedelta(seconds=begin),
        end_time=NEVER if end is None else BEGIN + datetime.timedelta(seconds=end),
    )


def trainer(*nodes: V2beta1PipelineTaskDetail) -> Stage | None:
    details = V2beta1RunDetails(task_details=list(nodes))
    run = V2beta1Run(run_id="one", state="RUNNING", run_details=details)
    return snapshot(run, ["Trainer"]).stages.get("Trainer")


def test_a_stage_counts_from_its_drivers_start():
    driver = node("Trainer-driver", "SUCCEEDED", 0, 10)
    assert trainer(driver, node("Trainer", "SUCCEEDED", 12, 60)) == Stage("done", 60.0)
    assert trainer(driver, node("Trainer", "FAILED", 12, 40)) == Stage("failed", 40.0)


def test_between_its_driver_and_its_container_it_runs():
    stage = trainer(node("Trainer-driver", "SUCCEEDED", 0, 10))
    assert stage.state == "running" and stage.seconds > 3600


def test_a_task_that_was_never_reached_says_nothing():
    driver = node("Trainer-driver", "FAILED", 0, 5)
    omitted = node("Trainer", "RUNTIME_STATE_UNSPECIFIED", 5)
    assert trainer(driver, omitted) == Stage("failed", 5.0)
    assert trainer(omitted) is None
    assert trainer(node("executor", "RUNNING", 5)) is None


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("PAUSED", "running"),
        ("SKIPPED", "succeeded"),
        ("CANCELED", "canceled"),
        (None, "pending"),
        ("SOMETHING_NEW", "pending"),
    ],
)
def test_the_runs_state(told, state):
    run = V2beta1Run(run_id="one")
    run._state = told
    assert snapshot(run, ["Trainer"]).state == state
