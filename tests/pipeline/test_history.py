"""What is told of executions whose process was killed."""

import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline import history

STATE = mlmd.Execution.State


@pytest.fixture
def database(tmp_path: pathlib.Path) -> pathlib.Path:
    """A store in which two stages of two run, and another is done."""
    database = tmp_path / "metadata.db"
    store = history.open_store(database)
    node = store.put_context_type(mlmd.ContextType(name="node"))
    run = store.put_context_type(mlmd.ContextType(name="pipeline_run"))
    kind = store.put_execution_type(mlmd.ExecutionType(name="Stage"))
    for stage, state in (
        ("StatisticsGen", STATE.COMPLETE),
        ("AnomalyGate", STATE.RUNNING),
        ("Transform", STATE.RUNNING),
    ):
        contexts = [
            mlmd.Context(type_id=node, name=f"plant.{stage}"),
            mlmd.Context(type_id=run, name=f"run of {stage}"),
        ]
        store.put_execution(mlmd.Execution(type_id=kind, last_known_state=state), [], contexts)
    return database


def states(database: pathlib.Path) -> list[str]:
    executions = history.open_store(database).get_executions()
    return [STATE.Name(e.last_known_state) for e in sorted(executions, key=lambda e: e.id)]


def test_what_runs_has_failed_or_was_stopped(
    database: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_NEWEST", 2)
    history.end_executions(database, ["Transform", "StatisticsGen"])
    assert states(database) == ["COMPLETE", "FAILED", "CANCELED"]
    history.end_executions(database, ["AnomalyGate"])
    assert states(database) == ["COMPLETE", "FAILED", "CANCELED"]


def test_before_the_first_run_there_is_no_store_to_look_at(tmp_path: pathlib.Path) -> None:
    history.end_executions(tmp_path / "metadata.db")
    assert not list(tmp_path.iterdir())
