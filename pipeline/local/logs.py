"""Structured logs: one JSON object a line, one file a run."""

import io
import logging
import pathlib
import sys

from observability.process_log import log_only_to
from observability.records import JsonFormatter


def log_to(path: pathlib.Path, run_id: str) -> JsonFormatter:
    """Sends everything that is logged in this process to a file, and only there.

    Args:
      path: the file; lines are appended.
      run_id: stands in each line.

    Returns:
      The formatter, whose ``node`` tells the stage.
    """
    # One write a line: several processes append to the file.
    raw = path.open("ab", buffering=0)
    return _log_to(
        logging.StreamHandler(io.TextIOWrapper(raw, "utf-8", write_through=True)), run_id
    )


def log_to_stdout() -> JsonFormatter:
    """As ``log_to``, for a process whose stdout is kept as its log; the run is not known yet."""
    return _log_to(logging.StreamHandler(sys.stdout), "")


def _log_to(handler: logging.Handler, run_id: str) -> JsonFormatter:
    formatter = JsonFormatter(run_id)
    handler.setFormatter(formatter)
    log_only_to(handler)
    return formatter
