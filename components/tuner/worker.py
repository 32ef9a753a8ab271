"""A process that runs trials, one after another, until the one that started it is gone."""

import importlib
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from components.parent import end_with_parent

Report = Callable[[int, float], bool]
"""Told a step and the value so far; whether to stop."""
Objective = Callable[[Mapping[str, Any], Report], float]
"""From hyperparameters to the value that they reach."""


def main(
    connection: "Connection[Any, Any]", target: str, argument: str, threads: int, parent: int
) -> None:
    """Loads the objective and runs it on what it is sent.

    It sends ``("ready", None)`` or ``("broken", traceback)``, and for each mapping of
    hyperparameters that it is then sent any number of ``("step", (step, value))``, each answered
    by whether to stop, and one of ``("done", value)``, ``("pruned", None)``, ``("failed", why)``.

    Args:
      connection: to the process that started it.
      target: ``module:function``, which makes an Objective.
      argument: what that function is given.
      threads: how many threads its arithmetic may take.
      parent: id of the process that started it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the starting process's to answer.
    end_with_parent(parent, signal.SIGKILL)
    # Read when TensorFlow makes its thread pools, so that they stand here before it is imported.
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    try:
        module, _, name = target.partition(":")
        objective = getattr(importlib.import_module(module), name)(argument)
    except Exception:
        connection.send(("broken", traceback.format_exc()))
        return
    connection.send(("ready", None))
    while True:
        try:
            hyperparameters = connection.recv()
            connection.send(_run(objective, hyperparameters, connection))
        except (EOFError, BrokenPipeError):
            return


def _run(
    objective: Objective, hyperparameters: Mapping[str, Any], connection: "Connection[Any, Any]"
) -> tuple[str, Any]:
    stopped = False

    def report(step: int, value: float) -> bool:
        nonlocal stopped
        connection.send(("step", (step, value)))
        stopped = bool(connection.recv())
        return stopped

    try:
        value = objective(hyperparameters, report)
    except (EOFError, BrokenPipeError):
        raise
    except Exception as error:
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {error}".partition("\n")[0]
    return ("pruned", None) if stopped else ("done", float(value))
