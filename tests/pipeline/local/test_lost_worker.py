"""A killed worker process of Beam's ends the run with a word, and leaves nothing behind."""

import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
from rich.console import Console

from pipeline.local import command, lost_worker
from pipeline.settings import load_settings
from tests.postgres import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]

# The stages of a run, but for TFX: one worker kills itself, the other has work for an hour.
RUN = """
import atexit, os, sys, time
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from pipeline.local import child
from pipeline.local.fork import Fork
from pipeline.local.stage import Stage, StageError

class Work(beam.DoFn):
    def process(self, number):
        with open(os.path.join(os.environ["FOLDER"], f"{os.getpid()}.pid"), "w"):
            pass
        while len(os.listdir(os.environ["FOLDER"])) < 2:
            time.sleep(0.05)
        if os.environ["FAULT"] == "late":
            atexit.register(os._exit, 3)
            return
        if number == 0:
            os.kill(os.getpid(), 9)
        time.sleep(3600)

def stages(plan, events, formatter):
    fork = Fork("SqlExampleGen-readings", work)
    stage = fork.receive()
    if stage.state == "failed":
        raise StageError(stage)

def work(link):
    options = PipelineOptions(
        ["--runner=FnApiRunner", "--direct_running_mode=multi_processing",
         "--direct_num_workers=2", "--sdk_container_image=local", "--no_pipeline_type_check"]
    )
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create([0, 1]) | beam.Reshuffle() | beam.ParDo(Work())
    return Stage("SqlExampleGen-readings", "done")

if __name__ == "__main__":
    from types import ModuleType
    sys.modules["pipeline.local.stages"] = ModuleType("stages")
    sys.modules["pipeline.local.stages"].run = stages
    os._exit(child.main(sys.argv[1], sys.argv[2], str(os.getppid())))
"""


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def run(tmp_path: pathlib.Path, fault: str) -> tuple[int, list[dict[str, str]]]:
    """Runs it to its end; the exit code and the events."""
    (tmp_path / "workers").mkdir()
    (tmp_path / "plan.json").write_text(json.dumps({"run_id": "r1"}))
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path), str(writing)],
        cwd=ROOT,
        env=os.environ | {"FOLDER": str(tmp_path / "workers"), "FAULT": fault},
        pass_fds=[writing],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "output.txt").open("wb"),
    )
    os.close(writing)
    with os.fdopen(reading) as events:
        told = [json.loads(line) for line in events]
    return process.wait(60), told


def test_a_killed_worker_ends_the_run(tmp_path: pathlib.Path) -> None:
    code, told = run(tmp_path, "killed")
    assert code != 0
    assert [event["kind"] for event in told] == ["error"], (tmp_path / "output.txt").read_text()
    assert told[0]["node"] == "SqlExampleGen-readings"
    assert told[0]["text"].startswith(
        "a worker process of Beam was ended by SIGKILL in the middle of its work. The machine may "
        "have run out of memory. Run again: finished stages are cached."
    )
    assert "lower run.beam_workers" in told[0]["text"]
    assert "was ended by" in (tmp_path / "log.jsonl").read_text()
    pids = [int(path.stem) for path in (tmp_path / "workers").iterdir()]
    assert len(pids) == 2
    wait_until(lambda: all(map(gone, pids)))


def test_a_worker_that_falls_when_all_is_done_is_let_go(tmp_path: pathlib.Path) -> None:
    code, told = run(tmp_path, "late")
    assert (code, told) == (0, [])
    assert "exited with return code 3" in (tmp_path / "output.txt").read_text()


def test_workers_go_with_the_stages_that_were_killed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the stages starts a worker and is killed."""
    package = tmp_path / "pipeline/local"
    package.mkdir(parents=True)
    (package / "child.py").write_text(
        "import os, pathlib, subprocess, sys\n"
        "worker = subprocess.Popen(['sleep', '3600'])\n"
        "pathlib.Path(sys.argv[1], 'worker').write_text(str(worker.pid))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r1").mkdir()
    inputs = {"as_of": "2025-02-20T00:00:00Z", "metadata_path": str(tmp_path / "metadata.db")}
    plan = {"run_id": "r1", "inputs": inputs}
    settings = load_settings(ROOT / "settings.yaml")
    console = Console(file=io.StringIO())
    assert command.execute(settings, plan, tmp_path / "r1", console) == 1
    assert "The run was ended by SIGKILL. The machine may have run" in console.file.getvalue()
    worker = int((tmp_path / "r1/worker").read_text())
    wait_until(lambda: gone(worker))


def test_codes_are_told_as_the_shell_tells_them() -> None:
    assert "was ended by SIGKILL" in lost_worker._message(137)
    assert "ended with 1 in" in lost_worker._message(1)
