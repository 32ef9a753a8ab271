"""What a worker logs, as lines of JSON on its stdout, and back into the launcher's own log."""

import json
import logging
import sys
from typing import Any, TextIO

from observability.process_log import log_only_to

FAILURE = "failure"
"""The field of a record that tells, in words for people, what a worker ended of."""


class LineFormatter(logging.Formatter):
    """A record as one line of JSON that ``relay`` reads."""

    def format(self, record: logging.LogRecord) -> str:
        """The fields that the launcher's log shows, and where in the code the record was made."""
        fields = {
            "created": record.created,
            "levelno": record.levelno,
            "levelname": record.levelname,
            "name": record.name,
            "pathname": record.pathname,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            fields["exc_text"] = self.formatException(record.exc_info)
        if hasattr(record, FAILURE):
            fields[FAILURE] = getattr(record, FAILURE)
        return json.dumps(fields)


def log_lines(stream: TextIO) -> None:
    """Sends all that is logged in this process to a stream, and only there."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    log_only_to(handler)


def relay(line: str, worker: int) -> dict[str, Any]:
    """Logs here what a worker logged there; what is no record goes to stderr, with its worker.

    Args:
      line: of a worker's output, without its end.
      worker: which worker; the record gets it as an attribute.

    Returns:
      The record's fields; of another line only ``msg``.
    """
    try:
        fields = json.loads(line)
        record = logging.makeLogRecord({**fields, "worker": worker})
        logging.getLogger(fields["name"]).handle(record)
    except (ValueError, TypeError, KeyError):
        print(f"[worker {worker}] {line}", file=sys.stderr)
        return {"msg": line}
    return dict(fields)
