"""Which earlier run one that begins in the middle takes its first stages from."""

import json
import pathlib
from collections.abc import Sequence

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline import history
from pipeline.local.plan import _base_run
from pipeline.nodes import node_ids
from pipeline.settings import load_settings
from tests.demo_project import SETTINGS

DEMO = load_settings(SETTINGS)
STAGES = node_ids(DEMO)
TRAINER = STAGES.index("Trainer")


def ran(folder: pathlib.Path, run_id: str, states: Sequence[str], executed: Sequence[str]) -> None:
    """Leaves a run's record, and its executions."""
    record = {"run_id": run_id, "state": "done", "as_of": ""}
    nodes = dict(zip(STAGES, states, strict=True))
    (folder / "runs" / run_id).mkdir(parents=True)
    (folder / "runs" / run_id / "run.json").write_text(json.dumps(record | {"nodes": nodes}))
    store = history.open_store(folder / "metadata.db")
    kinds = {
        name: store.put_context_type(mlmd.ContextType(name=name))
        for name in ("node", "pipeline_run")
    }
    stage = store.put_execution_type(mlmd.ExecutionType(name="Stage"))
    numbers = store.put_contexts([mlmd.Context(type_id=kinds["pipeline_run"], name=run_id)])
    (run,) = store.get_contexts_by_id(numbers)
    for name in executed:
        node = mlmd.Context(type_id=kinds["node"], name=f"{run_id}.{name}")
        store.put_execution(mlmd.Execution(type_id=stage), [], [node, run])


def test_stages_that_a_run_left_out_at_its_end_are_not_taken_from_it(
    tmp_path: pathlib.Path,
) -> None:
    behind = len(STAGES) - TRAINER
    ran(tmp_path, "1", ["done"] * len(STAGES), STAGES)
    ran(
        tmp_path,
        "2",
        ["skipped"] * (TRAINER - 1) + ["done"] + ["skipped"] * behind,
        STAGES[:TRAINER],
    )
    assert _base_run(DEMO, tmp_path / "runs", ["Trainer"]) == "2"
    assert _base_run(DEMO, tmp_path / "runs", ["Evaluator"]) == "1"


def test_no_run_got_that_far(tmp_path: pathlib.Path) -> None:
    ran(tmp_path, "1", ["skipped"] * len(STAGES), STAGES[:TRAINER])
    with pytest.raises(ValueError, match=r"--from 'Evaluator': no earlier run in .* got that far"):
        _base_run(DEMO, tmp_path / "runs", ["Evaluator"])
