"""What the collector tells Prometheus."""

import shutil
import threading
import wsgiref.simple_server
from collections.abc import Callable
from pathlib import Path

import prometheus_client

from pipeline.settings.collect import Stream

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The collector's metrics; each has the labels ``pipeline`` and ``source``.

    Args:
      pipeline: the project's name.
      source: the sensor source's.
    """

    def __init__(self, pipeline: str, source: str) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self._of = {"pipeline": pipeline, "source": source}
        self.messages = self._counter("collect_messages", "Messages that arrived.")
        self.readings = self._counter("collect_readings", "Readings on disk, repeated ones too.")
        self._rejected = prometheus_client.Counter(
            "collect_rejected",
            "Messages and readings that went to the rejected files, by reason.",
            (*self._of, "reason"),
            registry=self.registry,
        )
        self.files = self._counter("collect_files", "Files written.")
        self.buffer = self._gauge("collect_buffer_bytes", "What has arrived and isn't on disk yet.")
        self.limit = self._gauge("collect_buffer_limit_bytes", "At how much it is written.")
        self._age = self._gauge(
            "collect_buffer_age_seconds",
            "How long the oldest of it has waited; 0 if nothing waits.",
        )
        self.due = self._gauge("collect_buffer_age_limit_seconds", "At what age it is written.")
        self.rejected_limit = self._gauge(
            "collect_rejected_limit_ratio", "The share that may be rejected: max_rejected."
        )
        self.newest = self._gauge(
            "collect_newest_reading_timestamp_seconds",
            "The latest time of a reading that arrived, by the clock of who sent it.",
        )
        self.arrival = self._gauge(
            "collect_last_message_timestamp_seconds", "When the last message arrived."
        )
        self.connected = self._gauge("collect_connected", "Whether the broker is connected.")
        self.connects = self._counter(
            "collect_connects", "Connections made; the first is 1, each reconnect adds one."
        )
        self._lag = prometheus_client.Gauge(
            "collect_lag_messages",
            "Kafka: messages of the partition that haven't been taken yet.",
            (*self._of, "topic", "partition"),
            registry=self.registry,
        )
        self.flush_seconds = prometheus_client.Histogram(
            "collect_flush_seconds",
            "How long it took to write what had arrived.",
            tuple(self._of),
            registry=self.registry,
            buckets=_SECONDS,
        ).labels(**self._of)
        self.flush_failures = self._counter(
            "collect_flush_failures", "Writes that failed; they are tried again."
        )
        self._free = self._gauge("collect_disk_free_bytes", "What is free where files go.")
        self._size = self._gauge("collect_disk_size_bytes", "How large that file system is.")

    def watch(self, folder: Path, age: Callable[[], float]) -> None:
        """Asks at each scrape, so that a collector that hangs is seen.

        Args:
          folder: where files go.
          age: for how many seconds the oldest message has waited.
        """
        self._age.set_function(age)
        self._free.set_function(lambda: _disk(folder)[0])
        self._size.set_function(lambda: _disk(folder)[1])

    def rejected(self, reason: str, count: int) -> None:
        """Counts what was rejected."""
        self._rejected.labels(**self._of, reason=reason).inc(count)

    def lag(self, by_partition: dict[tuple[str, int], int]) -> None:
        """Tells the lag of the partitions that are this collector's; others' is forgotten."""
        self._lag.clear()
        for (topic, partition), messages in by_partition.items():
            self._lag.labels(**self._of, topic=topic, partition=partition).set(messages)

    def serve(self, stream: Stream) -> tuple[wsgiref.simple_server.WSGIServer, threading.Thread]:
        """Answers Prometheus from now on.

        Raises:
          OSError: if the address is taken.
        """
        host, _, port = str(stream.metrics).rpartition(":")
        return prometheus_client.start_http_server(int(port), host.strip("[]"), self.registry)

    def _counter(self, name: str, meaning: str) -> prometheus_client.Counter:
        counter = prometheus_client.Counter(name, meaning, tuple(self._of), registry=self.registry)
        return counter.labels(**self._of)

    def _gauge(self, name: str, meaning: str) -> prometheus_client.Gauge:
        gauge = prometheus_client.Gauge(name, meaning, tuple(self._of), registry=self.registry)
        return gauge.labels(**self._of)


def _disk(folder: Path) -> tuple[float, float]:
    """Bytes that are free and all; NaN if the folder can't be asked."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return float("nan"), float("nan")
    return usage.free, usage.total
