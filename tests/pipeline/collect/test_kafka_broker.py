"""A consumer group at a broker of its own process, which is not librdkafka: Tansu.

It is no Apache Kafka either. It takes commits within a rebalance, which librdkafka's mock cluster
(test_kafka) refuses.
"""

import json
from collections.abc import Iterator

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.collect.connect import try_broker
from pipeline.settings import parse_settings
from tests.pipeline.collect.conftest import landed
from tests.pipeline.collect.process import SECONDS, Running, rows, source_of, windows
from tests.pipeline.collect.test_kafka import Running as Thread
from tests.postgres import wait_until
from tests.tansu import Tansu

pytestmark = pytest.mark.services
HOURLY = {"flush": {"every": "1h"}}


@pytest.fixture(scope="module")
def broker() -> Iterator[Tansu]:
    with Tansu() as made:
        yield made


@pytest.fixture
def topic(broker, request) -> str:
    """A topic of four partitions with the test's name."""
    name = request.node.name[:60]
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(name, 4, 1)])[name].result(SECONDS)
    return name


def publish(broker: Tansu, topic: str, some: list) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address})
    for number, row in enumerate(some):
        producer.produce(topic, json.dumps(row), partition=number % 4)
    assert producer.flush(SECONDS) == 0


def collecting(folder, broker: Tansu, topic: str, **changes) -> Running:
    own = {"kind": "kafka", "topics": [topic], "group": topic, "session_timeout": "6s"}
    return Running(folder, broker.address, **own | changes)


def committed(broker: Tansu, group: str) -> int:
    """How many messages of the group's topic, which has its name, are committed."""
    told = {"bootstrap.servers": broker.address, "group.id": group}
    consumer = confluent_kafka.Consumer(told)
    try:
        asked = [confluent_kafka.TopicPartition(group, number) for number in range(4)]
        return sum(max(p.offset, 0) for p in consumer.committed(asked, timeout=SECONDS))
    finally:
        consumer.close()


def test_killed_in_the_middle_each_reading_counts_once(tmp_path, broker, topic):
    original = tmp_path / "original.jsonl"
    original.write_text("".join(json.dumps(row) + "\n" for row in rows(200)))
    folder = tmp_path / "in"
    publish(broker, topic, rows(100))
    with collecting(folder, broker, topic) as collector:
        wait_until(lambda: committed(broker, topic) == 100, SECONDS)
        assert len(landed(folder)) == 100
        assert collector.terminate() == 0
    with collecting(folder, broker, topic, **HOURLY) as collector:
        collector.wait_for("partitions of this collector: .*\\[3\\]", times=2)
        publish(broker, topic, rows(50, 100))
        collector.kill()
    # The group waits until the session of the one that was killed is over.
    publish(broker, topic, rows(50, 150))
    with collecting(folder, broker, topic) as collector:
        wait_until(lambda: committed(broker, topic) == 200, SECONDS)
        assert collector.terminate() == 0
    source = source_of(collector.text)
    got = windows(source)
    want = windows(source.model_copy(update={"path": str(original)}))
    assert want.tables["every_1h"].num_rows >= 3
    assert got.tables["every_1h"].equals(want.tables["every_1h"])
    assert got.tally.total("used") == 400


def test_a_second_collector_takes_over_what_is_on_disk_and_committed(tmp_path, broker, topic):
    """Nothing lands twice: what the first holds in memory is committed before it gives it up."""
    patient = {"flush": {"every": "1h"}, "session_timeout": "10s"}
    publish(broker, topic, rows(80))
    with Thread(tmp_path, topic, [broker.address], **patient) as first:
        wait_until(lambda: first.metrics.messages._value.get() == 80, SECONDS)
        with Thread(tmp_path, topic, [broker.address], **patient) as second:
            wait_until(lambda: second.metrics.connects._value.get() > 0, SECONDS)
            assert committed(broker, topic) == len(landed(tmp_path)) == 80
            publish(broker, topic, rows(80, 80))
            wait_until(lambda: second.metrics.messages._value.get() > 0, SECONDS)
    with Thread(tmp_path, topic, [broker.address]):
        wait_until(lambda: committed(broker, topic) == 160, SECONDS)
    found = [row["temperature"] for row in landed(tmp_path)]
    assert sorted(found) == [m + 0.5 for m in range(160)]


def test_a_login_that_is_refused(tmp_path, monkeypatch):
    told = {"username_env": "KAFKA_USER", "password_env": "KAFKA_PASSWORD"}
    environment = {"KAFKA_USER": "plant", "KAFKA_PASSWORD": "hunter2"}
    with (
        Tansu(users_only=True) as broker,
        Running(tmp_path / "in", broker.address, environment, kind="kafka", **told) as collector,
    ):
        assert collector.process.wait(SECONDS) == 1
        assert collector.says(f"{broker.address} refuses: .*authentication failed.*login")
        assert not collector.says("hunter2")


def test_check_tells_its_topics(tmp_path, broker, topic):
    text = collecting(tmp_path / "in", broker, topic).text
    told = try_broker(parse_settings(text).collect["telemetry"])
    assert told == f"1 brokers have {topic} (4 partitions)"
