"""One line of JSON a request, and a span, made by a thread of their own."""

import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from observability.records import time_text
from observability.trace import trace_of_header
from serving.server.core import Core
from serving.server.exchange import Entry
from serving.server.request_spans import RequestSpans

_QUEUED = 100_000
_COUNTED = ("predict", "classify", "regress")
# Statuses that the server is to blame for, as gRPC's status codes say.
_OURS = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS", "UNAVAILABLE", "DEADLINE_EXCEEDED"})


class AccessLog:
    """Writes entries in the order in which they come, and makes a span of each.

    A disk that cannot follow costs lines, never requests: past 100,000 lines waiting, new ones are
    dropped and their number is written once there is room.

    Args:
      path: a file, appended to; "-" for standard error; "" for no log.
    """

    def __init__(self, path: str = "") -> None:
        self._file: Any = None
        self._dropped = 0
        self._lines: queue.Queue[tuple[float, Entry] | None] = queue.Queue(_QUEUED)
        self._spans = RequestSpans()
        self._on = bool(path) or self._spans.on
        if path:
            self._file = sys.stderr.buffer if path == "-" else Path(path).open("ab")  # noqa: SIM115
        if not self._on:
            return
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def add(self, at: float, entry: Entry) -> None:
        """Queues an entry.

        Args:
          at: when the request came, ``time.time()``.
          entry: what is told of it; not to be changed afterwards.
        """
        if not self._on:
            return
        try:
            self._lines.put_nowait((at, entry))
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Writes what is queued and closes the file."""
        if not self._on:
            return
        self._on = False
        self._lines.put(None)
        self._thread.join()
        if self._file not in (None, sys.stderr.buffer):
            self._file.close()
        self._spans.close()

    def _write(self) -> None:
        last = False
        while not last:
            batch = [self._lines.get()]
            while len(batch) < 1_000:
                try:
                    batch.append(self._lines.get_nowait())
                except queue.Empty:
                    break
            last = batch[-1] is None
            entries = [item for item in batch if item is not None]
            for at, entry in entries:
                self._spans.add(at, entry, entry.status in _OURS)
            if self._file is not None:
                self._write_lines(entries)

    def _write_lines(self, entries: list[tuple[float, Entry]]) -> None:
        text = b"".join(_line(*item) for item in entries)
        if self._dropped:
            text += _dropped(self._dropped)
            self._dropped = 0
        self._file.write(text)
        self._file.flush()


def record(core: Core, access_log: AccessLog, at: float, entry: Entry) -> None:
    """Counts a request in the metrics, if it was to a model's function, keeps and logs it."""
    if entry.method in _COUNTED:
        # What was not found has no version, and must not make a time series a number tried.
        version = None if entry.status == "NOT_FOUND" else entry.version
        core.metrics.observe_request(
            entry.model, version, entry.status, entry.seconds, entry.api, entry.method
        )
    if core.sampler is not None:
        core.sampler.offer(at, entry)
    entry.exchange = None
    access_log.add(at, entry)


def _line(at: float, entry: Entry) -> bytes:
    about = " ".join(filter(None, (entry.api, entry.method, entry.status)))
    ids = {
        "run_id": entry.run_id,
        "request_id": entry.request_id,
        "trace_id": trace_of_header(entry.traceparent),
    }
    text: dict[str, Any] = {
        "time": time_text(at),
        "level": "ERROR" if entry.status in _OURS else "INFO",
        "logger": "serving.access",
        "message": about,
        **{name: value for name, value in ids.items() if value},
        "api": entry.api,
        "method": entry.method,
        "model": entry.model,
        "model_version": entry.version,
        "signature": entry.signature,
        "status": entry.status,
        "seconds": round(entry.seconds, 6),
        "rows": entry.rows,
    }
    return orjson.dumps(text, default=str) + b"\n"


def _dropped(count: int) -> bytes:
    text = {
        "time": time_text(time.time()),
        "level": "WARNING",
        "logger": "serving.access",
        "message": f"{count} lines were dropped: the disk could not follow",
        "dropped": count,
    }
    return orjson.dumps(text) + b"\n"
