"""Structured logs: one JSON object a line, one file a run."""

import logging
import pathlib
import sys

from absl import logging as absl_logging

from observability.records import JsonFormatter


def log_to(path: pathlib.Path, run_id: str) -> JsonFormatter:
    """Sends everything that is logged in this process to a file, and only there.

    Args:
      path: the file; lines are appended.
      run_id: stands in each line.

    Returns:
      The formatter, whose ``node`` tells the stage.
    """
    return _log_to(logging.FileHandler(path, encoding="utf-8"), run_id)


def log_to_stdout() -> JsonFormatter:
    """As ``log_to``, for a process whose stdout is kept as its log; the run is not known yet."""
    return _log_to(logging.StreamHandler(sys.stdout), "")


def _log_to(handler: logging.Handler, run_id: str) -> JsonFormatter:
    formatter = JsonFormatter(run_id)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    # absl brings a handler of its own, which would write a second copy to stderr.
    absl = logging.getLogger("absl")
    absl.handlers[:] = []
    absl.propagate = True
    # Saving a model, TensorFlow sets absl back to what absl itself was told: by default warnings.
    absl_logging.set_verbosity(absl_logging.INFO)
    return formatter
