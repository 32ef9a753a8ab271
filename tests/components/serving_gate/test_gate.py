"""The gate with real models behind the real server: good, broken, wrong, slow, too large."""

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest
import tensorflow as tf

from components.ingest import tfrecord
from components.serving_gate import executor, gate
from components.serving_gate.served import serve
from components.serving_gate.settings import GateSettings
from serving.load.measure import Result
from tests.components.serving_gate.models import ROWS, Change, Halves, records
from tests.postgres import wait_until


def slowly(value: Any) -> Any:
    """The same, after some tenths of a second of arithmetic."""
    square = tf.ones([400, 400]) * 1e-3
    result = tf.while_loop(lambda i, m: i < 60, lambda i, m: (i + 1, m @ square), [0, square])[1]
    return value + 0.0 * tf.reduce_sum(result)


@pytest.fixture
def save(tmp_path: pathlib.Path) -> Callable[[Change], pathlib.Path]:
    def call(change: Change) -> pathlib.Path:
        module = Halves(change)
        signatures = {"serving_default": module.serve, "predict_columns": module.columns}
        tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)
        return tmp_path / "model"

    return call


@pytest.fixture(scope="module", name="records")
def some_records() -> list[bytes]:
    return records()


def settings(**changes: Any) -> GateSettings:
    quick = {"model": "plant", "rate": 50, "seconds": 1, "latency_p99_ms": 60_000}
    return GateSettings.model_validate(quick | changes)


def test_a_good_model_is_blessed_with_its_figures_and_warm_up_requests(
    save: Any, records: list[bytes], tmp_path: pathlib.Path
) -> None:
    verdict = gate.examine(save(lambda y: y), records, settings(), tmp_path / "work")
    assert verdict.reasons == []
    # Both signatures over gRPC, the examples over REST too.
    assert verdict.measured["checked"] == 3 * ROWS
    assert verdict.measured["sent"] == 50
    assert 0 < verdict.measured["latency_p50_ms"] <= verdict.measured["latency_p99_ms"]
    assert 50 < verdict.measured["memory_mb"] < 4_096
    assert "blessed: p99" in verdict.summary
    staged = tmp_path / "work/models/1"
    assert len(list(tfrecord.read_records([str(staged / gate.WARMUP)]))) == 20

    executor.write(verdict, staged, settings(), tmp_path / "blessing")
    stored = tmp_path / "blessing/stored_model"
    assert (stored / "saved_model.pb").exists()
    assert (stored / gate.WARMUP).exists()
    assert (tmp_path / "blessing/INFRA_BLESSED").exists()
    assert not (tmp_path / "model" / gate.WARMUP).exists()


def test_a_nan_is_told_with_its_row(
    save: Any, records: list[bytes], tmp_path: pathlib.Path
) -> None:
    model = save(lambda y: tf.where(y > 3.4, tf.fill(tf.shape(y), float("nan")), y))
    verdict = gate.examine(model, records, settings(), tmp_path / "work")
    assert any("output predictions is nan in row" in reason for reason in verdict.reasons)
    executor.write(verdict, tmp_path / "work/models/1", settings(), tmp_path / "blessing")
    assert (tmp_path / "blessing/INFRA_NOT_BLESSED").exists()
    assert not (tmp_path / "blessing/stored_model").exists()


def test_answers_that_change_from_call_to_call_are_wrong(
    save: Any, records: list[bytes], tmp_path: pathlib.Path
) -> None:
    model = save(lambda y: y + tf.random.uniform(tf.shape(y)))
    verdict = gate.examine(model, records, settings(), tmp_path / "work")
    assert any("in process (50 of 50 rows)" in reason for reason in verdict.reasons)


def test_a_batch_answered_with_one_row_is_told(
    save: Any, records: list[bytes], tmp_path: pathlib.Path
) -> None:
    model = save(lambda y: tf.reduce_mean(y, keepdims=True))
    verdict = gate.examine(model, records, settings(), tmp_path / "work")
    assert any("50 rows" in reason for reason in verdict.reasons)


def test_a_slow_model_is_told_with_the_number_and_the_budget(
    save: Any, records: list[bytes], tmp_path: pathlib.Path
) -> None:
    model = save(slowly)
    verdict = gate.examine(model, records, settings(latency_p99_ms=2), tmp_path / "work")
    (reason,) = verdict.reasons
    best = verdict.measured["latency_p99_ms"]
    assert f"p99 is {best:.1f} ms at 50 requests/s in the best of 3 tries" in reason
    assert "latency_p99_ms is 2" in reason
    assert len(verdict.measured["tried_p99_ms"]) == 3
    assert best == min(verdict.measured["tried_p99_ms"])


def test_a_busy_machine_is_told_of_with_the_slowness() -> None:
    def reason(others: float) -> str:
        verdict = gate.Verdict(measured={"memory_mb": 1.0, "others_cpu": others})
        slow = Result(100, {}, 1.0, np.full(100, 0.2))
        gate._judge([slow], settings(latency_p99_ms=50), verdict)
        (told,) = verdict.reasons
        return told

    assert reason(0.61).endswith(
        "(other programs took 61% of the processors meanwhile; run it again)"
    )
    assert reason(0.1).endswith("in the best of 1 tries, and latency_p99_ms is 50")


def test_what_other_programs_take_of_the_processors_is_seen(
    save: Any, records: list[bytes], tmp_path: pathlib.Path
) -> None:
    gate.stage(save(lambda y: y), tmp_path / "models/1", [], "plant")
    burn = "while True: pass"
    with (
        serve("plant", tmp_path / "models", tmp_path, 120) as served,
        subprocess.Popen([sys.executable, "-c", burn]) as other,
        served.watch_processors() as processors,
    ):
        time.sleep(1)
        other.kill()
    # One of this machine's processors, or what the rest of the tests leave of it.
    assert processors["others_cpu"] > 0.2 / (psutil.cpu_count() or 1)


def test_memory_over_the_budget_is_told(
    save: Any, records: list[bytes], tmp_path: pathlib.Path
) -> None:
    model = save(lambda y: y)
    verdict = gate.examine(model, records, settings(memory_mb=1), tmp_path / "work")
    (reason,) = verdict.reasons
    assert reason.endswith("MiB, and memory_mb is 1")


def test_a_server_that_dies_under_load_is_told_as_such(
    save: Any, records: list[bytes], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = gate._load

    async def deadly(served: Any, *rest: Any) -> Result:
        served._process.kill()
        served._process.wait()
        return await load(served, *rest)

    monkeypatch.setattr(gate, "_load", deadly)
    verdict = gate.examine(save(lambda y: y), records, settings(), tmp_path / "work")
    (reason,) = verdict.reasons
    assert reason.startswith("the server ended with code -9")


def test_a_model_that_cannot_be_loaded_is_not_blessed(
    records: list[bytes], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/saved_model.pb").write_bytes(b"not a model")
    verdict = gate.examine(tmp_path / "model", records, settings(), tmp_path / "work")
    (reason,) = verdict.reasons
    assert reason.startswith("it cannot be loaded in process")


def test_no_examples_is_no_blessing(tmp_path: pathlib.Path) -> None:
    verdict = gate.examine(tmp_path, [], settings(), tmp_path / "work")
    assert verdict.reasons == ["the evaluation split has no examples to ask it with"]


def test_a_killed_gate_leaves_no_server_behind(save: Any, tmp_path: pathlib.Path) -> None:
    """The server ends with the process that started it, as it does with the run's."""
    gate.stage(save(lambda y: y), tmp_path / "models/1", [], "plant")
    script = (
        "import pathlib, sys, time\n"
        "from components.serving_gate.served import serve\n"
        "work = pathlib.Path(sys.argv[1])\n"
        "with serve('plant', work / 'models', work, 120):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(600)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n"
    server = json.loads((tmp_path / "ready.json").read_text())["pid"]
    starter.kill()
    starter.wait()
    wait_until(lambda: not psutil.pid_exists(server), 60)
