"""A run killed in any stage starts again and ends as an undisturbed one does."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from tests.end_to_end.conftest import Project, make_project
from tests.postgres import wait_until

pytestmark = pytest.mark.end_to_end

# In the order in which they run; a stage that ends before it can be hit is killed at its heels.
STAGES = (
    "SensorExampleGen-telemetry",
    "SqlExampleGen-observations",
    "PointInTimeJoin",
    "StatisticsGen",
    "Transform",
    "Trainer",
    "Evaluator",
    "VersionPusher",
)


def kill_in(project: Project, stage: str) -> str:
    """Starts a run and kills it, without a warning, as soon as the stage has begun."""
    process = project.start("run")
    log = wait_for_log(project, process)
    deadline = time.monotonic() + 300
    while f"stage {stage}: running" not in log.read_text():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, f"{stage} did not begin"
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    printed = process.stdout.read() if process.stdout else ""
    wait_until_gone(log.parent)
    return printed


def wait_for_log(project: Project, process: "subprocess.Popen[str]") -> pathlib.Path:
    known = set((project.folder / "var/runs").glob("*/log.jsonl"))
    for _ in range(1200):
        new = set((project.folder / "var/runs").glob("*/log.jsonl")) - known
        if new:
            return new.pop()
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.05)
    raise AssertionError("no run began")


def wait_until_gone(run_folder: pathlib.Path) -> None:
    """The stages' process dies with the one that was killed."""
    wait_until(lambda: not pids("-f", str(run_folder)), 60)


def whole(project: Project) -> None:
    """Every version that a server would see is a whole SavedModel with its release record."""
    for version in project.versions():
        folder = project.model_folder / str(version)
        assert (folder / "saved_model.pb").exists()
        assert (folder / "variables/variables.index").exists()
        assert json.loads((folder / "assets.extra/release.json").read_text())["metrics"]


def first_metrics(project: Project) -> dict[str, float]:
    release = json.loads((project.model_folder / "1/assets.extra/release.json").read_text())
    return release["metrics"]


def test_killed_in_each_stage(project: Project, tmp_path: pathlib.Path) -> None:
    killed = make_project(tmp_path / "killed")
    for stage in STAGES:
        kill_in(killed, stage)
        whole(killed)
    printed = killed.call("run")
    whole(killed)
    assert killed.versions() == [1], printed
    assert "RUNNING" not in killed.execution_states
    # The shared project has the same plant, settings and seeds, and was not disturbed. TFMA's AUC
    # rounds probabilities to steps of 1e-4: a last digit may move an example to the next.
    if not project.versions():
        project.call("run")
    assert first_metrics(killed) == pytest.approx(first_metrics(project), abs=5e-4)


def test_a_killed_worker_stops_the_run_and_a_rerun_heals(project: Project) -> None:
    before = project.settings_file.read_text()
    project.change(beam={"PointInTimeJoin": {"runner": "direct", "workers": 2}})
    words = ("run", "--to", "PointInTimeJoin", "--as-of", "2025-02-19")
    try:
        process = project.start(*words)
        log = wait_for_log(project, process)
        while "stage PointInTimeJoin: running" not in log.read_text():
            assert process.poll() is None, process.stdout and process.stdout.read()
            time.sleep(0.05)
        # The oldest: stages are copies of the process that starts them.
        (stages,) = pids("-o", "-f", f"pipeline.local.child {log.parent}")
        while not (workers := pids("-g", str(stages), "-f", "sdk_worker")):
            assert process.poll() is None, process.stdout and process.stdout.read()
            time.sleep(0.05)
        os.kill(workers[0], signal.SIGKILL)
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 1, printed
        assert "PointInTimeJoin failed." in printed
        assert "a worker process of Beam was ended by SIGKILL" in printed
        assert json.loads((log.parent / "run.json").read_text())["state"] == "failed"
        wait_until_gone(log.parent)
        assert not pids("-g", str(stages))
        assert project.execution_states >= {"FAILED"}
        assert "RUNNING" not in project.execution_states
        printed = project.call(*words)
        assert re.search(r"cached +SqlExampleGen-observations", printed), printed
        assert re.search(r"done +PointInTimeJoin", printed), printed
    finally:
        project.settings_file.write_text(before)


def pids(*words: str) -> list[int]:
    """What pgrep finds."""
    found = subprocess.run(["pgrep", *words], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def test_interrupt_stops_cleanly(project: Project) -> None:
    process = project.start("run", "--no-cache")
    log = wait_for_log(project, process)
    while "stage SensorExampleGen-telemetry: running" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 130, printed
    assert "Stopped." in printed
    assert json.loads((log.parent / "run.json").read_text())["state"] == "stopped"
    assert "Stopped by hand" in (log.parent / "report.html").read_text()
    wait_until_gone(log.parent)
    assert "RUNNING" not in project.execution_states


def test_second_run_at_once_is_refused(project: Project) -> None:
    process = project.start("run", "--no-cache")
    try:
        wait_for_log(project, process)
        printed = project.call("run", code=1)
        assert "another run is under way" in printed
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
