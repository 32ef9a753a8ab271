import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from components.distributed_trainer.launch import loopback
from components.distributed_trainer.launch.job import Job, TrainingFailed
from components.distributed_trainer.launch.loopback import Loopback, free_ports
from components.distributed_trainer.settings import LoopbackWorkers

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Makes the job that runs a function of run_fns.py."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    (tmp_path / "run").mkdir()

    def make(name: str) -> Job:
        fn_args = {
            "train_files": ["somewhere/*"],
            "serving_model_dir": str(tmp_path / "model"),
            "model_run_dir": str(tmp_path / "run"),
        }
        return Job(f"run_fns.{name}", fn_args, "FORMAT_TF_EXAMPLE", str(tmp_path / "scratch"))

    return make


def launch(job: Job, **settings: object) -> None:
    Loopback(LoopbackWorkers.model_validate(settings)).run(job)


def test_workers_form_a_cluster_and_only_the_chief_writes_the_model(job, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO)
    launch(job("trained"), count=3)
    told = {(record.worker, record.getMessage()) for record in caplog.records}
    assert told == {(i, f"worker {i} of 3") for i in range(3)}
    assert "[worker 2] printed by a library" in capfd.readouterr().err
    environment = json.loads((tmp_path / "model/environment.json").read_text())
    assert json.loads(environment["TF_CONFIG"])["task"] == {"type": "worker", "index": 0}
    assert environment["TRAINING_BACKUP_DIR"] == str(tmp_path / "scratch/backup")
    threads = max(1, len(os.sched_getaffinity(0)) // 3) if sys.platform == "linux" else None
    assert threads is None or environment["OMP_NUM_THREADS"] == str(threads)
    left = [path for path in (tmp_path / "scratch").rglob("*") if "worker-" in path.parent.name]
    assert [path.name for path in left if path.is_dir()] == []


def test_a_killed_worker_starts_all_again(job, caplog):
    launch(job("killed"))
    (again,) = [r.getMessage() for r in caplog.records if "start again" in r.getMessage()]
    assert again.startswith("worker 1 of 2 was killed by SIGKILL")
    assert again.endswith("All workers start again from the newest backup (1 of 2)")


def test_a_worker_that_is_killed_each_time_ends_the_training(job):
    with pytest.raises(TrainingFailed) as caught:
        launch(job("always_killed"), restarts=1)
    lines = str(caught.value).splitlines()
    assert lines == [
        "worker 1 of 2 was killed by SIGKILL: the machine may have run out of memory; "
        "its last lines:",
        "  reading ['somewhere/*']",
        "Given up after 1 restarts",
    ]


def test_the_killed_worker_is_told_and_not_its_victim(job, monkeypatch):
    # However much later than its victim it begins.
    monkeypatch.setattr(loopback, "_LAST_WORDS", 60)
    with pytest.raises(TrainingFailed, match=r"^worker 1 of 2 was killed by SIGKILL"):
        launch(job("peer_gone"), restarts=0)


def test_an_error_that_may_pass_starts_all_again(job, caplog):
    launch(job("cut_off"))
    assert "failed: UnavailableError: a peer does not answer" in caplog.text


def test_an_error_of_the_workers_own_ends_the_training_at_once(job, caplog):
    with pytest.raises(TrainingFailed) as caught:
        launch(job("raises"))
    assert str(caught.value) == (
        "worker 1 of 2 failed: ValueError: label 'fails' is missing in 3 of 40 examples"
    )
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.worker == 1
    assert "run_fns.py" in record.exc_text


def test_a_worker_that_ends_without_a_word_is_told_with_its_last_lines(job):
    with pytest.raises(TrainingFailed) as caught:
        launch(job("exits"), count=1)
    told = "worker 0 of 1 ended with code 3; its last lines:\n  a library's last words"
    assert str(caught.value) == told


def test_a_hung_worker_tells_where_it_stands_and_all_start_again(job, caplog, capfd, monkeypatch):
    monkeypatch.setattr(loopback, "_STACKS", 6)
    # The second attempt ends no batch, so that no stall of the machine looks like a hang.
    launch(job("hangs"), hang_timeout="1s")
    assert "hangs: no batch ended for" in caplog.text
    assert "training.workers.hang_timeout" in caplog.text
    assert "in _wait_if" in capfd.readouterr().err


def test_a_port_that_was_taken_meanwhile_is_no_restart(job, tmp_path):
    launch(job("port_taken"), restarts=0, count=1)
    assert len(list((tmp_path / "scratch/backup").glob("starts-0-*"))) == 3


def test_ports_differ():
    assert len(set(free_ports(50))) == 50


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_outlives_its_launcher(job, tmp_path, end):
    asked = tmp_path / "asked.json"
    asked.write_text(job("waits").to_json())
    program = (
        "import pathlib, sys;"
        "from components.distributed_trainer.launch.job import Job;"
        "from components.distributed_trainer.launch.loopback import Loopback;"
        "from components.distributed_trainer.settings import LoopbackWorkers;"
        "Loopback(LoopbackWorkers()).run(Job.from_json(pathlib.Path(sys.argv[1]).read_text()))"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", program, str(asked)], cwd=ROOT, stderr=subprocess.PIPE
    )
    workers = [tmp_path / "scratch/backup" / f"pid-{index}" for index in range(2)]
    try:
        wait_for(lambda: launcher.poll() is not None or all(file.exists() for file in workers))
    finally:
        launcher.send_signal(end)
    _, errors = launcher.communicate()
    pids = [int(file.read_text()) for file in workers]
    wait_for(lambda: not any(is_running(pid) for pid in pids))
    assert launcher.returncode == -end
    assert (b"KeyboardInterrupt" in errors) == (end == signal.SIGINT)


def test_the_lifeline_needs_no_help_of_the_kernel(tmp_path):
    program = (
        "import sys, time; sys.platform = 'darwin';"
        "from components.distributed_trainer.launch.lifeline import end_with_launcher;"
        "end_with_launcher(); print('ready', flush=True); time.sleep(600)"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdout.readline() == b"ready\n"
    worker.send_signal(signal.SIGINT)
    assert worker.poll() is None
    worker.stdin.close()
    assert worker.wait(60) == -signal.SIGKILL
    worker.stdout.close()


def wait_for(is_so) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process lives; one that ended and nobody waited for does not."""
    try:
        os.kill(pid, 0)
        state = pathlib.Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
