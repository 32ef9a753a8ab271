"""Objectives for trial processes: no TensorFlow, and every way to fail."""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def parabola(folder: str) -> Callable[[Mapping[str, Any], Callable[[int, float], bool]], float]:
    """Best at x = 3; five steps on the way. Leaves a line a trial in ``folder/tried``."""

    def run(given: Mapping[str, Any], report: Callable[[int, float], bool]) -> float:
        with (Path(folder) / "tried").open("a") as file:
            file.write(json.dumps([os.getpid(), os.environ["TF_NUM_INTRAOP_THREADS"]]) + "\n")
        value = -((given["dropout"] - 0.3) ** 2)
        for step in range(5):
            if report(step, value):
                break
        return value

    return run


def faults(folder: str) -> Callable[[Mapping[str, Any], Callable[[int, float], bool]], float]:
    """Does what it is told to under ``do``."""

    def run(given: Mapping[str, Any], report: Callable[[int, float], bool]) -> float:
        if given["do"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if given["do"] == "raise":
            raise ValueError("no luck")
        if given["do"] == "hang":
            (Path(folder) / "hangs").write_text(str(os.getpid()))
            time.sleep(600)
        if given["do"] == "stop":
            assert report(0, 1.0)
        return 1.0

    return run


def broken(folder: str) -> None:
    """Can't be loaded."""
    raise RuntimeError(f"nothing in {Path(folder).name}")
