"""Structured logs: one JSON object a line, one file a run."""

import datetime
import json
import logging
import pathlib
import sys
import traceback


class JsonFormatter(logging.Formatter):
    """Fields: time, level, run_id, node, logger, message, and error with the traceback.

    Attributes:
      run_id: the run.
      node: the stage that is running; whoever runs the stages sets it. Beam's threads log too, so
        it belongs to the process and not to a thread.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id
        self.node = ""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        fields = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "run_id": self.run_id,
            "node": self.node,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(fields, ensure_ascii=False)


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
    return formatter
