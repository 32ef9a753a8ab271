"""The parts of a local run that need no TFX: words, table, events, logs, fingerprints."""

import importlib.metadata
import importlib.util
import json
import logging
import os
import pathlib
import sys

import pytest
from absl import logging as absl_logging
from rich.console import Console

from pipeline import fingerprint
from pipeline.decision import decide
from pipeline.local import logs
from pipeline.local import plan as planning
from pipeline.local.events import Event, EventWriter
from pipeline.local.table import StageTable

PUSH = {
    "pushed": True,
    "created": True,
    "version": 7,
    "serves": 7,
    "reason": "blessed by evaluation",
    "metrics": {"auc": 0.9112, "example_count": 5530.0},
    "baseline_metrics": {"auc": 0.9},
    "baseline_version": 6,
}


@pytest.mark.parametrize(
    ("change", "text", "pushed"),
    [
        ({}, "version 7 pushed: auc 0.911, +0.011 over version 6", True),
        (
            {"baseline_metrics": {}, "baseline_version": None},
            "version 7 pushed: auc 0.911; nothing served before",
            True,
        ),
        (
            {"pushed": False, "reason": "auc 0.79 is below 0.80", "serves": 6},
            "not pushed, because auc 0.79 is below 0.80; version 6 still serves",
            False,
        ),
        (
            {"pushed": False, "reason": "auc 0.79 is below 0.80", "serves": None},
            "not pushed, because auc 0.79 is below 0.80",
            False,
        ),
        (
            {"created": False, "reason": "the same model is version 7 already"},
            "nothing new to push: the same model is version 7 already",
            True,
        ),
    ],
)
def test_decision(change: dict, text: str, pushed: bool) -> None:
    told = decide(PUSH | change)
    assert (told.text, told.pushed) == (text, pushed)


def draw(table: StageTable) -> str:
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(table)
    return console.export_text()


def test_a_candidate_that_was_refused_is_tried_again(tmp_path: pathlib.Path) -> None:
    """A run's plan counts refusals, which are part of the gate's cache key."""
    root = tmp_path / "pipeline"
    assert planning.refusals(root) == 0
    for execution, verdict in ((7, "INFRA_NOT_BLESSED"), (9, "INFRA_BLESSED")):
        folder = root / f"ServingGate/blessing/{execution}"
        folder.mkdir(parents=True)
        (folder / verdict).touch()
    assert planning.refusals(root) == 1


def test_table_tells_each_stage() -> None:
    table = StageTable()
    assert "importing TFX" in draw(table)
    table.apply(Event("plan", nodes=["Read", "Train", "Push"]))
    table.apply(Event("stage", node="Read", state="cached", seconds=0.1, text="9 rows"))
    table.apply(Event("stage", node="Train", state="running"))
    table.apply(Event("progress", node="Train", text="epoch 2 of 10"))
    drawn = draw(table)
    assert "cached: 9 rows" in drawn
    assert "epoch 2 of 10" in drawn
    table.end_running("stopped")
    assert table.states == {"Read": "cached", "Train": "stopped", "Push": "waiting"}


def test_events_cross_a_pipe_whole() -> None:
    reading, writing = os.pipe()
    sent = Event("error", text="ä\n" * 10, detail="x" * 30_000, node="Train", ok=False)
    EventWriter(writing).send(sent)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as lines:
        assert [Event.from_json(line) for line in lines] == [sent]


def test_a_reader_that_is_gone_does_no_harm() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    EventWriter(writing).send(Event("phase", text="compiling"))
    os.close(writing)


def test_log_lines_are_json(tmp_path: pathlib.Path) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        formatter = logs.log_to(tmp_path / "log.jsonl", "run-1")
        formatter.node = "Train"
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.exception("it failed: %s", "ä")
        # What TensorFlow does when it saves a model.
        told = absl_logging.get_verbosity()
        absl_logging.set_verbosity(absl_logging.FATAL)
        absl_logging.set_verbosity(told)
        absl_logging.info("Epoch 1 of 10")
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    line, after = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(after)["message"] == "Epoch 1 of 10"
    entry = json.loads(line)
    assert (entry["level"], entry["run_id"], entry["node"]) == ("ERROR", "run-1", "Train")
    assert entry["message"] == "it failed: ä"
    assert "ValueError: two\nlines" in entry["error"]


def test_fingerprint_follows_the_code(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    (tmp_path / "trainer").mkdir()
    file = tmp_path / "trainer/model.py"
    seen = []
    for text in ("a = 1\n", "a = 2\n", "a = 1\n"):
        file.write_text(text)
        fingerprint.code.cache_clear()
        seen.append(fingerprint.code("trainer"))
    assert seen[0] == seen[2] != seen[1]
    monkeypatch.setattr(importlib.metadata, "version", lambda library: "99.0")
    fingerprint.code.cache_clear()
    assert fingerprint.code("trainer") not in seen
    fingerprint.code.cache_clear()


def test_fingerprint_follows_the_module_of_a_source_that_is_not_ours(
    tmp_path: pathlib.Path,
) -> None:
    from components.ingest.sources import SqlSource

    seen = []
    for text in ("class Own: ...\n", "class Own: ...\n\nPORT = 1\n"):
        path = tmp_path / "own_source.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("own_source", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["own_source"] = module
        spec.loader.exec_module(module)
        seen.append(fingerprint.rows(module.Own))
    del sys.modules["own_source"]
    assert len({*seen, fingerprint.rows(SqlSource)}) == 3
    assert fingerprint.rows(SqlSource) == fingerprint.component("sql_example_gen")
