"""Keeps some of what was asked and answered, in TensorFlow Serving's format of request logging.

Files hold records as ``prediction_logs`` makes them::

    <directory>/<model>/<version>/20250417T060000-20250417T060059-1f0c9a2e.tfrecord.gz

Requests never wait: the event loop draws and hands over, a thread encodes and writes. A file is
written within a minute, whole or not at all; a process that is killed loses that minute.
"""

import dataclasses
import datetime
import logging
import queue
import random
import threading
import time
import urllib.parse
import uuid
from pathlib import Path

import prometheus_client
from google.protobuf.message import DecodeError

from components.ingest.tfrecord import RecordWriter
from serving.server.exchange import Entry, Exchange
from serving.server.prediction_logs import encode

SUFFIX = ".tfrecord.gz"
FILE_TIME = "%Y%m%dT%H%M%S"
"""How the times of a file's first and last request stand in its name, in UTC."""
_FILE_SECONDS = 60.0
_FILE_BYTES = 4 << 20
_QUEUED, _QUEUED_BYTES = 1_000, 32 << 20
_SWEEP_SECONDS = 600.0
_LEFT_SECONDS = 3_600.0
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Sampling:
    """What is kept.

    Attributes:
      directory: where the files go.
      rate: the share of requests, drawn at random.
      per_second: examples a second at most; a request with more is taken whole and paid off.
      days: after how many days files go.
      megabytes: how much the files may take, in MB; the oldest go first.
      drop: names of inputs, features, outputs and keys of ``x-observation`` never to be written.
    """

    directory: str
    rate: float
    per_second: float
    days: float
    megabytes: float
    drop: frozenset[str] = frozenset()


class Sampler:
    """Takes requests on the event loop and writes them in a thread of its own.

    Args:
      sampling: what is kept.
      registry: gets ``serving_sampled_requests``, by what became of a request that was drawn:
        ``kept``, ``over_rate``, ``queue_full``, ``unreadable`` (columns are to be dropped from
        examples that are none) or ``write_failed``.
      file_seconds: how long a file is filled.
    """

    def __init__(
        self,
        sampling: Sampling,
        registry: prometheus_client.CollectorRegistry,
        file_seconds: float = _FILE_SECONDS,
    ) -> None:
        self._sampling = sampling
        self._file_seconds = file_seconds
        self._counted = prometheus_client.Counter(
            "serving_sampled_requests",
            "Requests drawn to be kept, by what became of them.",
            ("model_name", "outcome"),
            registry=registry,
        )
        self._credit, self._credited = sampling.per_second, 0.0
        self._bytes, self._lock = 0, threading.Lock()
        self._queue: queue.Queue[tuple[float, Entry, Exchange] | None] = queue.Queue(_QUEUED)
        self._swept = 0.0
        self._thread = threading.Thread(target=self._run, name="sampling", daemon=True)
        self._thread.start()

    def offer(self, at: float, entry: Entry) -> None:
        """Takes a request that was answered, or not; never waits.

        Args:
          at: when it came, ``time.time()``.
          entry: what is told of it; its exchange is taken out of it.
        """
        exchange, entry.exchange = entry.exchange, None
        if exchange is None or entry.status != "OK" or random.random() >= self._sampling.rate:
            return
        if not self._allows(at, entry.rows):
            self._count(entry.model, "over_rate")
            return
        size = exchange.size
        if self._bytes + size > _QUEUED_BYTES:
            self._count(entry.model, "queue_full")
            return
        with self._lock:
            self._bytes += size
        try:
            self._queue.put_nowait((at, entry, exchange))
        except queue.Full:
            with self._lock:
                self._bytes -= size
            self._count(entry.model, "queue_full")

    @property
    def waiting(self) -> int:
        """How many requests wait to be encoded."""
        return self._queue.qsize()

    def close(self) -> None:
        """Writes what is queued, and ends."""
        self._queue.put(None)
        self._thread.join()

    def _allows(self, at: float, rows: int) -> bool:
        most = self._sampling.per_second
        since = max(0.0, at - self._credited) if self._credited else 0.0
        self._credit, self._credited = min(most, self._credit + since * most), at
        if self._credit <= 0:
            return False
        self._credit -= max(1, rows)
        return True

    def _count(self, model: str, outcome: str, requests: int = 1) -> None:
        self._counted.labels(model, outcome).inc(requests)

    def _run(self) -> None:
        held: dict[tuple[str, int], list[tuple[float, bytes]]] = {}
        due, size, last = 0.0, 0, False
        while not last:
            self._sweep()
            wait = max(0.0, due - time.monotonic()) if held else _SWEEP_SECONDS
            try:
                item = self._queue.get(timeout=wait)
            except queue.Empty:
                item = None
            else:
                last = item is None
            if item is not None:
                at, entry, exchange = item
                with self._lock:
                    self._bytes -= exchange.size
                record = self._encoded(at, entry, exchange)
                if record is not None:
                    if not held:
                        due = time.monotonic() + self._file_seconds
                    key = entry.model, entry.version or 0
                    held.setdefault(key, []).append((at, record))
                    size += len(record)
            if held and (last or size >= _FILE_BYTES or time.monotonic() >= due):
                for (model, version), kept in held.items():
                    self._write(model, version, kept)
                held, size = {}, 0

    def _encoded(self, at: float, entry: Entry, exchange: Exchange) -> bytes | None:
        sampling = self._sampling
        try:
            log = encode(at, entry, exchange, sampling.rate, sampling.drop)
            return log.SerializeToString()
        except DecodeError:
            self._count(entry.model, "unreadable")
        except Exception:
            _log.exception("a request of %s cannot be kept", entry.model)
            self._count(entry.model, "unreadable")
        return None

    def _write(self, model: str, version: int, kept: list[tuple[float, bytes]]) -> None:
        times, records = [at for at, _ in kept], [record for _, record in kept]
        name = f"{_moment(min(times))}-{_moment(max(times))}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        folder = Path(self._sampling.directory) / urllib.parse.quote(model, safe="") / str(version)
        try:
            with RecordWriter(str(folder / name)) as writer:
                writer.write_records(records)
        except Exception as error:  # the thread must live: a full queue would hold the end back
            _log.error("%d sampled requests are lost: %r", len(records), error)
            self._count(model, "write_failed", len(records))
        else:
            self._count(model, "kept", len(records))

    def _sweep(self) -> None:
        if self._swept and time.monotonic() - self._swept < _SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        try:
            sweep(Path(self._sampling.directory), self._sampling, time.time())
        except OSError as error:
            _log.error("old samples stay: %s", error)


def sweep(directory: Path, sampling: Sampling, now: float) -> None:
    """Removes files that are too old or too many, and what killed processes left.

    Args:
      directory: where the files are.
      sampling: how long and how much to keep.
      now: ``time.time()``.
    """
    room = sampling.megabytes * 1e6
    found = [(path, path.stat()) for path in directory.rglob(f"*{SUFFIX}*") if path.is_file()]
    for path, stat in sorted(found, key=lambda one: one[1].st_mtime, reverse=True):
        age = now - stat.st_mtime
        if path.name.startswith("."):
            if age > _LEFT_SECONDS:
                path.unlink(missing_ok=True)
            continue
        room -= stat.st_size
        if room < 0 or age > sampling.days * 86_400:
            path.unlink(missing_ok=True)


def _moment(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime(FILE_TIME)
