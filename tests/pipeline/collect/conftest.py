"""A small sensor source, messages for it, and a broker that is a list."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from components.ingest.durations import parse_instant
from components.ingest.sensor.source import SensorSource
from pipeline.collect.messages import Messages
from pipeline.settings.collect import KafkaStream

NOON = parse_instant("2025-03-01T12:00:00Z")
MINUTE = 60_000_000


def sensor_source(path: Path | str = "unread", **changes) -> SensorSource:
    settings = {
        "kind": "sensor",
        "path": str(path),
        "entity": "machine",
        "gateway": "gateway",
        "time": {"column": "ts", "received_at": "received_at"},
        "channels": {"temperature": {}, "pressure": {}},
        "windows": [{"size": "3h", "every": "1h", "aggregate": ["mean", "count"]}],
        "max_rejected": 1,
    }
    return SensorSource.model_validate(settings | changes)


def stream(**changes) -> KafkaStream:
    settings = {"kind": "kafka", "brokers": ["x:1"], "topics": ["t"], "group": "g"}
    return KafkaStream.model_validate(settings | {"metrics": None} | changes)


def messages(*payloads, topic="plant/7/readings", arrived=NOON, first=0) -> Messages:
    """Messages with these payloads, JSON where they aren't bytes."""
    count = len(payloads)
    return Messages(
        payloads=[p if isinstance(p, bytes | None) else json.dumps(p).encode() for p in payloads],
        topics=[topic] * count,
        keys=[b"key"] * count,
        arrived=[arrived] * count,
        partitions=[0] * count,
        numbers=list(range(first, first + count)),
    )


def reading(minute: int, machine: int | str = 7, gateway: str = "g1", **values) -> dict:
    """A reading so many minutes after noon, as gateways send it."""
    moment = f"2025-03-01T{12 + minute // 60:02d}:{minute % 60:02d}:00Z"
    told = {"temperature": minute + 0.5, "pressure": minute * 2}
    return {"machine": machine, "gateway": gateway, "ts": moment} | told | values


def landed(folder: Path, kind: str = "readings") -> list[dict]:
    """All rows of the files below a collector's folder, in the order of the files."""
    paths = sorted((folder / kind).rglob("*.parquet"))
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


@dataclasses.dataclass
class ListBroker:
    """Delivers what it holds, and again after ``reconnect`` what wasn't acknowledged.

    Attributes:
      held: messages in the order in which they were published.
      per_poll: how many it gives at a time.
      on_poll: called with each poll's number, before it gives anything.
    """

    held: list
    per_poll: int = 3
    on_poll: Callable[[int], None] = lambda number: None
    full: bool = False
    acknowledged: int = 0
    delivered: int = 0
    polls: int = 0

    def open(self, before_taken_away: Callable[[], bool]) -> None:
        self.delivered = self.acknowledged
        self.taken_away = before_taken_away

    def poll(self, seconds: float, hold: bool = False) -> Messages:
        self.polls += 1
        self.on_poll(self.polls)
        if hold:
            return Messages()
        some = self.held[self.delivered : self.delivered + self.per_poll]
        first = self.delivered
        self.delivered += len(some)
        return messages(*some, first=first, arrived=NOON + 60 * MINUTE)

    def acknowledge(self) -> None:
        self.acknowledged = self.delivered

    def close(self) -> None:
        pass
