"""The collector's loop: take messages, land their readings, acknowledge."""

import logging
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import MICROSECONDS
from components.ingest.sensor.source import SensorSource
from pipeline.collect import landing
from pipeline.collect.messages import Broker, Messages, StreamError
from pipeline.collect.metrics import Metrics
from pipeline.collect.readings import REJECTED, Reader, join
from pipeline.settings.collect import Stream

_POLL_SECONDS = 0.25
_RETRY_SECONDS = (1.0, 30.0)

_log = logging.getLogger(__name__)


class Collector:
    """Lands a broker's messages as files of a sensor source.

    A message is acknowledged only when all that arrived with it is on disk, so that each reading
    lands at least once, whenever this process is killed. SensorExampleGen takes out the repeats.

    Args:
      name: the source's name.
      source: its settings.
      stream: where its readings come from.
      broker: the connection.
      folder: where ``readings`` and ``rejected`` go.
      metrics: what is told.
    """

    def __init__(
        self,
        name: str,
        source: SensorSource,
        stream: Stream,
        broker: Broker,
        folder: Path,
        metrics: Metrics,
    ) -> None:
        self._name = name
        self._source = source
        self._broker = broker
        self._folder = folder
        self._metrics = metrics
        self._reader = Reader(source, stream)
        self._every = stream.flush.every / MICROSECONDS["s"]
        self._limit = int(stream.flush.megabytes * 1e6)
        self._readings: list[pa.Table] = []
        self._rejected: list[pa.Table] = []
        self._pieces: list[tuple[Path, pa.Table]] = []
        self._bytes = 0
        self._unacknowledged = 0
        self._since = 0.0
        self._wait = 0.0
        self._retry_at = 0.0
        metrics.limit.set(self._limit)
        metrics.due.set(self._every)
        metrics.rejected_limit.set(source.max_rejected)

    def run(self, stop: threading.Event) -> None:
        """Collects until ``stop`` is set, then lands what has arrived.

        Raises:
          StreamError: if the broker refuses for good, the folder can't be made, or what has arrived
            can't be landed; what isn't acknowledged comes again at the next start.
        """
        try:
            landing.make_folder(self._folder)
        except OSError as error:
            raise StreamError(
                f"{self._folder} can't be made: {error.strerror or error}: name another place in "
                f"collect.{self._name}.directory"
            ) from error
        self._metrics.watch(self._folder, self._age)
        removed = landing.remove_leftovers(self._folder)
        if removed:
            _log.info("removed %d unfinished files of a collector that was killed", removed)
        self._broker.open(self.flush)
        try:
            while not stop.is_set():
                self.turn()
        finally:
            landed = self.flush()
            self._broker.close()
        if not landed:
            raise StreamError(
                f"{self._folder}: what arrived last could not be written and was not acknowledged: "
                "it comes again at the next start. Make room there."
            )

    def turn(self) -> None:
        """Takes what has arrived, and lands it when it is time."""
        failing = self._wait > 0
        self._take(self._broker.poll(_POLL_SECONDS, hold=failing))
        if failing:
            due = time.monotonic() >= self._retry_at
        else:
            due = self._age() >= self._every or self._bytes >= self._limit or self._broker.full
        if due:
            self.flush()

    def flush(self) -> bool:
        """Lands all that was taken and acknowledges it; returns whether it did.

        What could not be written stays for the next call: files that are there aren't written
        again.
        """
        begin = time.monotonic()
        try:
            while self._pieces or self._readings or self._rejected:
                if not self._pieces:
                    self._part()
                while self._pieces:
                    self._land(*self._pieces[-1])
                    self._pieces.pop()
        except OSError as error:
            self._metrics.flush_failures.inc()
            shortest, longest = _RETRY_SECONDS
            self._wait = min(max(2 * self._wait, shortest), longest)
            self._retry_at = time.monotonic() + self._wait
            _log.error(
                "%s: can't be written: %s. Nothing is lost: what arrived stays unacknowledged, no "
                "more is taken, and it is tried again in %.0f s",
                self._folder,
                error.strerror or error,
                self._wait,
            )
            return False
        if self._wait:
            _log.info("%s: can be written again", self._folder)
        self._wait = 0.0
        self._bytes = self._unacknowledged = 0
        self._metrics.buffer.set(0)
        self._broker.acknowledge()
        self._metrics.flush_seconds.observe(time.monotonic() - begin)
        return True

    def _age(self) -> float:
        """For how many seconds the oldest message that isn't on disk has waited."""
        return time.monotonic() - self._since if self._unacknowledged else 0.0

    def _take(self, messages: Messages) -> None:
        if not len(messages):
            return
        if not self._unacknowledged:
            self._since = time.monotonic()
        self._unacknowledged += len(messages)
        parsed = self._reader.read(messages)
        for kept, table in ((self._readings, parsed.readings), (self._rejected, parsed.rejected)):
            if len(table):
                kept.append(table)
                self._bytes += table.nbytes
        self._metrics.messages.inc(len(messages))
        self._metrics.buffer.set(self._bytes)
        self._metrics.arrival.set(max(messages.arrived) / MICROSECONDS["s"])
        if len(parsed.readings):
            newest = pc.max(parsed.readings.column(self._source.time.column).cast(pa.int64()))
            self._metrics.newest.set(newest.as_py() / MICROSECONDS["s"])

    def _part(self) -> None:
        """Makes of what was taken the pieces that become a file each."""
        pieces: list[tuple[Path, pa.Table]] = []
        if self._readings:
            pieces += landing.partitions(
                self._folder / landing.READINGS,
                join(self._readings),
                self._source.time.column,
                self._source.gateway,
                self._name,
            )
        if self._rejected:
            pieces += landing.partitions(
                self._folder / landing.REJECTED, pa.concat_tables(self._rejected), "arrived", None
            )
        self._pieces, self._readings, self._rejected = pieces, [], []

    def _land(self, folder: Path, table: pa.Table) -> None:
        landing.land(folder, table)
        self._metrics.files.inc()
        if table.schema != REJECTED:
            self._metrics.readings.inc(len(table))
            return
        for entry in table.column("reason").value_counts().to_pylist():
            self._metrics.rejected(entry["values"], entry["counts"])
