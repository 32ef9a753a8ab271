"""A trial that fails, dies or hangs is a failed trial; no process outlives its pool."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import psutil
import pytest

from components.tuner.holdout import TuningError
from components.tuner.pool import Pool, cores

FAULTS = "tuner_objectives:faults"


def test_each_failure_is_one_trials_alone(tmp_path: pathlib.Path) -> None:
    trials = {n: {"do": do} for n, do in enumerate(["die", "go", "raise", "stop", "go"])}
    with Pool(FAULTS, str(tmp_path), 2, 60.0) as pool:
        outcomes = pool.run(trials, lambda *_: True)
        again = pool.run({7: {"do": "go"}}, lambda *_: False)
        ids = [worker.process.pid for worker in pool._workers]
    assert outcomes[0].why == "its process was ended by SIGKILL"
    assert outcomes[2].why == "ValueError: no luck"
    assert outcomes[3].pruned
    assert [outcomes[n].value for n in range(5)] == [None, 1.0, None, None, 1.0]
    assert again[7].value == 1.0
    assert ids and not any(psutil.pid_exists(pid) for pid in ids)


def test_a_trial_that_hangs_is_ended(tmp_path: pathlib.Path) -> None:
    with Pool(FAULTS, str(tmp_path), 1, 0.5) as pool:
        outcomes = pool.run({0: {"do": "hang"}}, lambda *_: False)
    assert outcomes[0].why == "it took longer than 0.5 s"
    assert not psutil.pid_exists(int((tmp_path / "hangs").read_text()))


def test_what_can_begin_no_trial_is_no_failed_trial(tmp_path: pathlib.Path) -> None:
    target = "tuner_objectives:broken"
    with (
        pytest.raises(TuningError, match=rf"(?s)no trial can begin.*nothing in {tmp_path.name}"),
        Pool(target, str(tmp_path), 2, 60.0) as pool,
    ):
        pool.run({0: {}}, lambda *_: False)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_trials_end_with_the_process_that_started_them(tmp_path: pathlib.Path, how: int) -> None:
    code = (
        "from components.tuner.pool import Pool\n"
        f"with Pool({FAULTS!r}, {str(tmp_path)!r}, 1, 60.0) as pool:\n"
        "    pool.run({0: {'do': 'hang'}}, lambda *_: False)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        hangs = tmp_path / "hangs"
        _until(lambda: hangs.exists() and hangs.read_text() != "")
        parent.send_signal(how)
        assert parent.wait(30) != 0
        _until(lambda: not psutil.pid_exists(int(hangs.read_text())))
    finally:
        parent.kill()
        parent.wait()


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


def _until(holds, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)
