"""A process ends with the one that started it, which may be a container's first.

That it does end is tested where processes start others: test_fork.py, test_pool.py.
"""

import os
import subprocess
import sys

_STARTED = """
import os, signal, sys
from components.parent import end_with_parent

if sys.argv[1] == "1":
    os.getppid = lambda: 1
end_with_parent(int(sys.argv[1]), signal.SIGKILL)
"""


def started(parent: int) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _STARTED, str(parent)]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_goes_on_while_its_parent_lives() -> None:
    assert started(os.getpid()).returncode == 0


def test_process_1_is_a_parent_too() -> None:
    assert started(1).returncode == 0


def test_it_does_not_begin_without_its_parent() -> None:
    ended = started(0)
    assert ended.returncode == 1
    assert ended.stderr == "the process that started this one is gone\n"
