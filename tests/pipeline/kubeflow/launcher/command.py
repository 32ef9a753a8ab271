"""Two ways of running a task's command: as the launcher does, and without importing TFX anew."""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[4]

RunCommand = Callable[[list[str], dict[str, str], pathlib.Path], int]
"""Takes the arguments, the environment and the file for what is printed; gives the exit code."""


def run_process(argv: list[str], environment: dict[str, str], log: pathlib.Path) -> int:
    """Runs a command as it stands."""
    with log.open("wb") as file:
        return subprocess.run(
            argv, cwd=ROOT, env=environment, stdout=file, stderr=file, check=False
        ).returncode


def run_forked(argv: list[str], environment: dict[str, str], log: pathlib.Path) -> int:
    """Runs ``python -m module …`` in a fork of a process that has imported TFX already.

    Arguments, environment, folder and output are those of ``run_process``; only the 15 s that each
    task would import for are spent once. Nothing that was imported has started a thread by then.
    """
    assert argv[:2] == [sys.executable, "-m"], argv
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.pipeline.kubeflow.launcher.preloaded"])
    process = context.Process(target=_run_module, args=(argv[2:], environment, str(log)))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run_module(argv: list[str], environment: dict[str, str], log: str) -> None:
    printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
