"""A consumer group at librdkafka's own mock cluster, which is no Kafka but speaks its protocol."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka
import pytest

from components.ingest.durations import parse_instant
from components.ingest.sensor.features import sensor_windows
from pipeline.collect.collector import Collector
from pipeline.collect.connect import try_broker
from pipeline.collect.kafka import Kafka, configuration
from pipeline.collect.messages import StreamError
from pipeline.collect.metrics import Metrics
from tests.pipeline.collect.conftest import landed, reading, sensor_source, stream
from tests.postgres import wait_until

BEGIN, END = parse_instant("2025-03-01"), parse_instant("2025-03-02")
SECONDS = 60


@pytest.fixture(scope="module")
def brokers() -> Iterator[list[str]]:
    """The mock cluster's addresses: it lives as long as the producer that made it."""
    made = confluent_kafka.Producer(
        {"test.mock.num.brokers": 2, "bootstrap.servers": "none", "log_level": 2}
    )
    found = made.list_topics(timeout=30).brokers.values()
    yield [f"{broker.host}:{broker.port}" for broker in found]
    del made


@pytest.fixture
def publish(brokers: list[str]) -> Callable[..., None]:
    producer = confluent_kafka.Producer({"bootstrap.servers": ",".join(brokers)})

    def call(topic: str, payloads: list) -> None:
        for number, payload in enumerate(payloads):
            value = payload if isinstance(payload, bytes | None) else json.dumps(payload)
            producer.produce(topic, value, key=f"k{number % 7}")
        assert producer.flush(SECONDS) == 0

    return call


class Running:
    """A collector in a thread of this process."""

    def __init__(self, folder: Path, name: str, brokers: list[str], **settings) -> None:
        own = {"brokers": brokers, "topics": [name], "group": name, "session_timeout": "6s"}
        self.metrics = Metrics("plant", "telemetry")
        told = stream(**own | {"flush": {"every": "1us"}} | settings)
        self.broker = Kafka(told, self.metrics)
        source = sensor_source()
        self.collector = Collector("telemetry", source, told, self.broker, folder, self.metrics)
        self.stop = threading.Event()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.collector.run(self.stop)
        except StreamError as error:
            self.error = error


def committed(brokers: list[str], group: str) -> int:
    """How many messages of the group's topic, which has its name, are committed."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": ",".join(brokers), "group.id": group})
    try:
        partitions = consumer.list_topics(group, timeout=SECONDS).topics[group].partitions
        asked = [confluent_kafka.TopicPartition(group, p) for p in partitions]
        return sum(max(p.offset, 0) for p in consumer.committed(asked, timeout=SECONDS))
    finally:
        consumer.close()


def test_readings_land_and_their_offsets_are_committed(tmp_path, brokers, publish):
    rows = [reading(minute) for minute in range(100)]
    publish("lands", [*rows, b"{cut off", None])
    with Running(tmp_path, "lands", brokers) as running:
        wait_until(lambda: len(landed(tmp_path)) >= 100 and committed(brokers, "lands") == 102, 60)
        wait_until(lambda: lag(running.metrics) == 0, SECONDS)
    assert sorted(row["temperature"] for row in landed(tmp_path)) == [m + 0.5 for m in range(100)]
    rejected = landed(tmp_path, "rejected")
    assert sorted(row["reason"] for row in rejected) == ["empty", "malformed"]
    assert all(row["partition"] is not None and row["number"] >= 0 for row in rejected)


def lag(metrics: Metrics) -> float | None:
    samples = [
        sample.value
        for family in metrics.registry.collect()
        if family.name == "collect_lag_messages"
        for sample in family.samples
    ]
    return sum(samples) if samples else None


def test_what_was_not_committed_comes_again_and_counts_once(tmp_path, brokers, publish):
    """As when it is killed after a write: the files are there, the offsets are not."""
    rows = [reading(minute, received_at="2025-03-01T14:00:00Z") for minute in range(60)]
    own = {"fields": {"received_at": "received_at"}}
    publish("again", rows)
    killed = Running(tmp_path, "again", brokers, **own)
    killed.broker.acknowledge = lambda: None
    with killed:
        wait_until(lambda: len(landed(tmp_path)) == 60, SECONDS)
    assert committed(brokers, "again") == 0
    with Running(tmp_path, "again", brokers, **own):
        wait_until(lambda: committed(brokers, "again") == 60, SECONDS)
    assert len(landed(tmp_path)) == 120
    result = sensor_windows("telemetry", sensor_source(tmp_path / "readings/**/*"), BEGIN, END)
    assert (result.tally.total("used"), result.tally.total("duplicate")) == (120, 120)


def test_a_second_collector_takes_partitions_over(tmp_path, brokers, publish):
    """What the first holds in memory is on disk before the second begins.

    Kafka takes the commit then too; the mock refuses it, so that those readings come twice, and
    more often where the group settles in more than one round: each round lands what came again.
    """
    own = {"flush": {"every": "1h"}, "fields": {"received_at": "received_at"}}
    rows = [reading(minute, received_at="2025-03-01T14:00:00Z") for minute in range(100)]
    publish("shared", rows[:50])
    with Running(tmp_path, "shared", brokers, **own) as first:
        wait_until(lambda: received(first) == 50, SECONDS)
        assert landed(tmp_path) == []
        with Running(tmp_path, "shared", brokers, **own) as second:
            wait_until(lambda: second.metrics.connects._value.get() > 0, SECONDS)
            assert {row["temperature"] for row in landed(tmp_path)} == {n + 0.5 for n in range(50)}
            publish("shared", rows[50:])
            wait_until(lambda: received(second) > 0, SECONDS)
    with Running(tmp_path, "shared", brokers, **own | {"flush": {"every": "1us"}}):
        wait_until(lambda: committed(brokers, "shared") == 100, SECONDS)
    result = sensor_windows("telemetry", sensor_source(tmp_path / "readings/**/*"), BEGIN, END)
    assert result.tally.total("used") == 200


def received(running: Running) -> float:
    return running.metrics.messages._value.get()


def test_held_it_takes_nothing_and_then_goes_on(brokers, publish):
    publish("held", [reading(minute) for minute in range(10)])
    told = stream(brokers=brokers, topics=["held"], group="held")
    broker = Kafka(told, Metrics("plant", "telemetry"))
    broker.open(lambda: True)
    taken = []

    def take(hold: bool) -> int:
        taken.extend(broker.poll(0.2, hold=hold).numbers)
        return len(taken)

    wait_until(lambda: take(False) == 10, SECONDS)
    broker.poll(0.2, hold=True)
    publish("held", [reading(minute) for minute in range(10)])
    for _ in range(10):
        take(True)
    assert len(taken) == 10
    wait_until(lambda: take(False) == 20, SECONDS)
    broker.close()


def test_commits_that_fail_are_made_up_for(brokers, publish, caplog):
    publish("late", [reading(0)])
    told = stream(brokers=brokers, topics=["late"], group="late")
    broker = Kafka(told, Metrics("plant", "telemetry"))
    broker.open(lambda: True)
    wait_until(lambda: len(broker.poll(0.2)) == 1, SECONDS)
    real = broker._consumer

    class Failing:
        def commit(self, **_):
            error = confluent_kafka.KafkaError(confluent_kafka.KafkaError._TRANSPORT)
            raise confluent_kafka.KafkaException(error)

    broker._consumer = Failing()
    with caplog.at_level(logging.WARNING):
        broker.acknowledge()
    assert "offsets are not committed yet" in caplog.text
    broker._consumer = real
    broker.acknowledge()
    assert committed(brokers, "late") == 1
    broker.close()


def test_check_tells_what_is_there(brokers, publish, monkeypatch):
    publish("there", [b"1"])
    told = stream(brokers=brokers, topics=["there"], group="g")
    assert try_broker(told) == "2 brokers have there (4 partitions)"
    gone = stream(brokers=["127.0.0.1:1"], topics=["there"], group="g")
    monkeypatch.setattr("pipeline.collect.connect._SECONDS", 1.0)
    with pytest.raises(StreamError, match=r"127.0.0.1:1 can't be reached: .*refused"):
        try_broker(gone)


def test_the_login_comes_from_the_environment(monkeypatch):
    told = stream(
        username_env="KAFKA_USER",
        password_env="KAFKA_PASSWORD",
        mechanism="PLAIN",
        tls={"ca_cert": "ca.pem", "certificate": "own.pem", "key": "own.key"},
    )
    with pytest.raises(StreamError, match="variable KAFKA_USER isn't set: export KAFKA_USER="):
        configuration(told)
    monkeypatch.setenv("KAFKA_USER", "plant")
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    assert configuration(told) == {
        "bootstrap.servers": "x:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "plant",
        "sasl.password": "hunter2",
        "ssl.ca.location": "ca.pem",
        "ssl.certificate.location": "own.pem",
        "ssl.key.location": "own.key",
    }
    assert configuration(stream())["security.protocol"] == "PLAINTEXT"
    assert configuration(stream(tls={}))["security.protocol"] == "SSL"
