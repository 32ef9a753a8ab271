"""What lands, when it is acknowledged, and what faults do to it; the broker is a list."""

import errno
import json
import logging
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.ingest.durations import parse_instant
from components.ingest.sensor.features import sensor_windows
from pipeline.collect import landing
from pipeline.collect.collector import Collector
from pipeline.collect.messages import StreamError
from pipeline.collect.metrics import Metrics
from tests.pipeline.collect.conftest import (
    ListBroker,
    landed,
    reading,
    sensor_source,
    stream,
)

BEGIN, END = parse_instant("2025-03-01"), parse_instant("2025-03-02")
AT_ONCE = {"flush": {"every": "1us"}}


def collect(folder: Path, broker: ListBroker, polls: int, **settings) -> Metrics:
    """Runs a collector for so many polls, then stops it."""
    stop = threading.Event()
    before = broker.on_poll

    def count(number: int) -> None:
        before(number)
        if number >= polls:
            stop.set()

    broker.on_poll = count
    metrics = Metrics("plant", "telemetry")
    made = Collector("telemetry", sensor_source(), stream(**settings), broker, folder, metrics)
    made.run(stop)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    told = {"pipeline": "plant", "source": "telemetry"} | labels
    return metrics.registry.get_sample_value(name, told)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder).parent) for path in folder.rglob("*.parquet"))


def test_readings_lie_by_day_and_source_as_they_came(tmp_path):
    late = reading(0, ts="2025-02-27T23:59:59.999999Z")
    broker = ListBroker(
        [reading(1), late, reading(2, gateway=None), reading(3, gateway="../g 2/x"), reading(0)],
        per_poll=5,
    )
    collect(tmp_path, broker, 1)
    assert files(tmp_path) == [
        "readings/day=2025-02-27/source=g1",
        "readings/day=2025-03-01/source=..%2Fg 2%2Fx",
        "readings/day=2025-03-01/source=__HIVE_DEFAULT_PARTITION__",
        "readings/day=2025-03-01/source=g1",
    ]
    folder = tmp_path / "readings/day=2025-03-01/source=g1"
    assert [row["temperature"] for row in landed(folder, ".")] == [1.5, 0.5]
    assert broker.acknowledged == 5


def test_a_source_without_gateways_is_one_folder(tmp_path):
    found = Collector(
        "telemetry",
        sensor_source(gateway=None),
        stream(),
        broker := ListBroker([reading(0)]),
        tmp_path,
        Metrics("plant", "telemetry"),
    )
    found.turn()
    assert found.flush() and broker.acknowledged == 1
    assert files(tmp_path) == ["readings/day=2025-03-01/source=telemetry"]


def test_the_windows_are_those_of_the_original_file(tmp_path):
    rows = [
        reading(minute, machine, gateway=f"g{machine}")
        for minute in range(600)
        for machine in (7, 8)
    ]
    rows = [row | {"received_at": row["ts"]} for row in rows]
    original = tmp_path / "original.jsonl"
    original.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = {"received_at": "received_at"}
    collect(tmp_path / "in", ListBroker(rows, per_poll=100), 12, fields=fields, **AT_ONCE)

    paths = (original, tmp_path / "in/readings/**/*.parquet")
    settings = {"gateway": "gateway", "time": {"column": "ts", "received_at": "received_at"}}
    offsets = {"time": settings["time"] | {"offsets": {"g8": "-90s"}}}
    want, got = (
        sensor_windows("telemetry", sensor_source(path, **offsets), BEGIN, END) for path in paths
    )
    assert want.tables["every_1h"].num_rows > 10
    assert got.tables["every_1h"].equals(want.tables["every_1h"])
    assert got.tally.total("used") == want.tally.total("used") == 2400


def test_killed_at_any_moment_each_reading_counts_once(tmp_path, monkeypatch):
    """A kill is anything between two steps: after some files, before the acknowledgement."""
    rows = [reading(minute, gateway=f"g{minute % 3}") for minute in range(60)]
    broker = ListBroker(rows, per_poll=20)
    real, writes = landing.land, []

    def land(folder, table):
        writes.append(folder)
        if len(writes) in (2, 4, 9):
            raise SystemExit
        return real(folder, table)

    monkeypatch.setattr(landing, "land", land)
    for _ in range(3):
        collector = Collector(
            "telemetry",
            sensor_source(),
            stream(**AT_ONCE),
            broker,
            tmp_path,
            Metrics("plant", "telemetry"),
        )
        broker.open(collector.flush)
        with pytest.raises(SystemExit):
            while True:
                collector.turn()
    collect(tmp_path, broker, broker.polls + 10, **AT_ONCE)
    assert broker.acknowledged == 60
    assert len(landed(tmp_path)) > 60
    result = sensor_windows("telemetry", sensor_source(tmp_path / "readings/**/*"), BEGIN, END)
    assert result.tally.total("used") == 120
    assert result.tally.total("duplicate") == 2 * len(landed(tmp_path)) - 120


def test_a_full_disk_holds_the_broker_and_loses_nothing(tmp_path, monkeypatch, caplog):
    rows = [reading(minute, gateway=f"g{minute % 2}") for minute in range(12)]
    real, full = landing.land, threading.Event()
    monkeypatch.setattr("pipeline.collect.collector._RETRY_SECONDS", (1e-6, 1e-6))
    tried = []

    def land(folder, table):
        tried.append(folder.name)
        if full.is_set() and folder.name == "source=g0":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(folder, table)

    def room(number: int) -> None:
        (full.clear if number > 6 else full.set)()

    monkeypatch.setattr(landing, "land", land)
    broker = ListBroker(rows, per_poll=4, on_poll=room)
    with caplog.at_level(logging.INFO):
        metrics = collect(tmp_path, broker, 12, **AT_ONCE)
    assert [row["temperature"] for row in landed(tmp_path)] == [
        *(minute + 0.5 for minute in range(0, 12, 2)),
        *(minute + 0.5 for minute in range(1, 12, 2)),
    ]
    assert value(metrics, "collect_flush_failures_total") == tried.count("source=g0") - 3 > 3
    assert tried.count("source=g1") == 3
    assert "No space left on device. Nothing is lost" in caplog.text
    assert f"{tmp_path}: can be written again" in caplog.text
    assert not list(tmp_path.rglob(".part*"))


def test_stopped_while_the_disk_is_full_nothing_is_acknowledged(tmp_path, monkeypatch):
    def land(folder, table):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(landing, "land", land)
    broker = ListBroker([reading(0)])
    with pytest.raises(StreamError, match=r"was not acknowledged: it comes again.*Make room"):
        collect(tmp_path, broker, 2)
    assert broker.acknowledged == 0


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(table, file, **_):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="No space left"):
        landing.land(tmp_path / "a/b", None)
    assert list((tmp_path / "a/b").iterdir()) == []


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path):
    import fcntl

    dead, living = (tmp_path / f"day=1/.part-{name}.tmp" for name in ("dead", "living"))
    dead.parent.mkdir()
    dead.write_bytes(b"half")
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        collect(tmp_path, ListBroker([]), 1)
        assert living.exists() and not dead.exists()


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_changes_neither_days_nor_flushes(tmp_path, monkeypatch, jump):
    """The gateway's clock is what tells the day; the collector's age of readings doesn't jump."""
    wall, real = [0.0], time.time

    def tick(number: int) -> None:
        wall[0] = jump * (number % 2)

    monkeypatch.setattr(time, "time", lambda: real() + wall[0])
    monkeypatch.setattr(time, "time_ns", lambda: int((real() + wall[0]) * 1e9))
    rows = [
        reading(0),
        reading(1, ts="1970-01-01T00:00:10Z"),
        reading(2, ts="2099-12-31T23:00:00Z"),
        reading(3),
    ]
    broker = ListBroker(rows, per_poll=1, on_poll=tick)
    collect(tmp_path, broker, 6, flush={"every": "1h"})
    assert files(tmp_path) == [
        f"readings/day={day}/source=g1" for day in ("1970-01-01", "2025-03-01", "2099-12-31")
    ]
    result = sensor_windows("telemetry", sensor_source(tmp_path / "readings/**/*"), BEGIN, END)
    counted = [result.tally.total(what) for what in ("used", "clock_reset", "outside")]
    assert counted == [4, 2, 2]


def test_it_is_written_at_a_size_an_age_or_a_full_window(tmp_path):
    rows = [reading(minute) for minute in range(6)]
    hourly = {"every": "1h"}
    for number, (flush, full, expected) in enumerate(
        [
            (hourly, False, 1),
            (hourly | {"megabytes": 0.00015}, False, 2),
            ({"every": "1us"}, False, 3),
            (hourly, True, 3),
        ]
    ):
        folder = tmp_path / str(number)
        broker = ListBroker(rows, per_poll=2, full=full)
        collect(folder, broker, 3, flush=flush)
        assert len(files(folder)) == expected, flush


def test_rejected_messages_are_kept_and_counted(tmp_path):
    broker = ListBroker([reading(0), b"{cut", reading(1, ts="x")])
    metrics = collect(tmp_path, broker, 2)
    assert files(tmp_path)[1] == "rejected/day=2025-03-01"
    kept = landed(tmp_path, "rejected")
    assert [(row["reason"], row["number"], row["payload"][:9]) for row in kept] == [
        ("malformed", 1, b"{cut"),
        ("bad_time", 2, b'{"machine'),
    ]
    assert value(metrics, "collect_rejected_total", reason="malformed") == 1
    assert value(metrics, "collect_readings_total") == 1
    assert value(metrics, "collect_messages_total") == 3
    assert value(metrics, "collect_newest_reading_timestamp_seconds") == 1_740_830_400
    assert value(metrics, "collect_buffer_bytes") == 0
    assert value(metrics, "collect_flush_seconds_count") == 1


def test_messages_without_readings_are_acknowledged_too(tmp_path):
    broker = ListBroker([[], []])
    collect(tmp_path, broker, 2, **AT_ONCE)
    assert broker.acknowledged == 2
    assert files(tmp_path) == []
