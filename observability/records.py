"""A log record: one JSON object a line, with the same fields wherever it comes from.

The fields are those of ``infra/logging/record.schema.json``. ``time``, ``level``, ``logger`` and
``message`` are in every record; the others where they are known.
"""

import datetime
import json
import logging
import traceback
from typing import Any

from observability.trace import trace_of_run


def time_text(seconds: float) -> str:
    """An instant as ISO 8601 in UTC with milliseconds.

    Args:
      seconds: since 1970, as ``time.time()`` has them.
    """
    instant = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """Writes a process's log records.

    Attributes:
      run_id: the pipeline run that this process belongs to.
      node: the stage that is running; whoever runs the stages sets it. Beam's threads log too, so
        it belongs to the process and not to a thread.
    """

    def __init__(self, run_id: str = "", node: str = "") -> None:
        super().__init__()
        self.run_id = run_id
        self.node = node

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        # A launcher logs what its workers tell, each record with the worker's number.
        number = getattr(record, "worker", None)
        told = {
            "run_id": self.run_id,
            "node": self.node,
            "worker": "" if number is None else f"worker-{number}",
            "trace_id": trace_of_run(self.run_id),
        }
        fields: dict[str, Any] = {
            "time": time_text(record.created),
            "level": record.levelname,
            **{name: value for name, value in told.items() if value},
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = "".join(traceback.format_exception(*record.exc_info))
        elif record.exc_text:
            fields["error"] = record.exc_text
        return json.dumps(fields, ensure_ascii=False)
