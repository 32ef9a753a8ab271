"""A collector of its own process at a real Mosquitto: restarts, kills, certificates, passwords."""

import contextlib
import json
import signal
import urllib.request
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest

from pipeline.collect.connect import try_broker
from pipeline.collect.messages import StreamError
from pipeline.settings import parse_settings
from tests.mosquitto import USER, Mosquitto
from tests.pipeline.collect.authority import certificates
from tests.pipeline.collect.conftest import landed
from tests.pipeline.collect.process import (
    SECONDS,
    Running,
    rows,
    settings_text,
    source_of,
    windows,
)
from tests.ports import free_port
from tests.postgres import wait_until

pytestmark = pytest.mark.services
PASSWORD = "hunter2"


@contextlib.contextmanager
def publisher(broker: Mosquitto, **changes) -> Iterator[paho.Client]:
    made = paho.Client(paho.CallbackAPIVersion.VERSION2, **changes)
    made.max_queued_messages_set(0)
    made.connect("localhost", broker.port)
    made.loop_start()
    yield made
    made.disconnect()
    made.loop_stop()


def publish(broker: Mosquitto, rows: list) -> None:
    with publisher(broker) as client:
        told = [client.publish("plant/7/readings", json.dumps(row), qos=1) for row in rows]
        for one in told:
            one.wait_for_publish(SECONDS)


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as made:
        yield made


def test_killed_in_the_middle_and_the_broker_restarted_each_reading_counts_once(tmp_path):
    original = tmp_path / "original.jsonl"
    original.write_text("".join(json.dumps(row) + "\n" for row in rows(300)))
    folder = tmp_path / "in"
    with Mosquitto() as broker:
        with Running(folder, broker.address) as collector:
            collector.wait_for("in a new session")
            publish(broker, rows(100))
            wait_until(lambda: len(landed(folder)) == 100, SECONDS)
        # Nothing of these is written within the hour: all of them are in memory when it is killed.
        with Running(folder, broker.address, flush={"every": "1h"}) as collector:
            collector.wait_for("with the session it kept")
            publish(broker, rows(50, 100))
            collector.kill()
        leftover = next(folder.rglob("source=g0")) / ".part-killed.tmp"
        leftover.write_bytes(b"half")
        # Published while nobody collects.
        publish(broker, rows(50, 150))
        with Running(folder, broker.address) as collector:
            wait_until(lambda: len(landed(folder)) >= 200, SECONDS)
            assert not leftover.exists()
            broker.stop()
            collector.wait_for("disconnected from")
            broker.start()
            collector.wait_for("with the session it kept", times=3)
            publish(broker, rows(100, 200))
            wait_until(lambda: len(landed(folder)) >= 300, SECONDS)
            assert collector.terminate() == 0
            assert collector.says("stopped: all that arrived is in")
    source = source_of(collector.text)
    got = windows(source)
    want = windows(source.model_copy(update={"path": str(original)}))
    assert want.tables["every_1h"].num_rows >= 5
    assert got.tables["every_1h"].equals(want.tables["every_1h"])
    assert got.tally.total("used") == 600
    assert got.tally.total("duplicate") == 2 * len(landed(folder)) - 600


def test_duplicates_that_the_sender_makes_count_once(tmp_path, broker):
    folder = tmp_path / "in"
    with Running(folder, broker.address, client_id="duplicates") as collector:
        collector.wait_for("connected to")
        publish(broker, rows(20) + rows(20))
        wait_until(lambda: len(landed(folder)) == 40, SECONDS)
        assert collector.terminate(signal.SIGINT) == 0
    counted = windows(source_of(collector.text)).tally
    assert (counted.total("used"), counted.total("duplicate")) == (40, 40)


def test_more_than_is_in_flight_comes_without_waiting_for_the_age(tmp_path, broker):
    folder = tmp_path / "in"
    own = {"client_id": "window", "in_flight": 40, "flush": {"every": "1h"}}
    with Running(folder, broker.address, **own) as collector:
        collector.wait_for("connected to")
        publish(broker, rows(300))
        wait_until(lambda: len(landed(folder)) >= 280, SECONDS)
        assert collector.terminate() == 0
    assert sorted(row["temperature"] for row in landed(folder)) == [m + 0.5 for m in range(300)]


def scraped(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=SECONDS) as answer:
        return answer.read().decode()


def test_metrics_are_answered(tmp_path, broker):
    folder, address = tmp_path / "in", f"127.0.0.1:{free_port()}"
    with Running(folder, broker.address, client_id="metrics", metrics=address) as collector:
        collector.wait_for("connected to")
        publish(broker, [*rows(3), "no object"])
        of = 'pipeline="plant",source="telemetry"'
        wait_until(lambda: f"collect_readings_total{{{of}}} 3.0" in scraped(address), SECONDS)
        told = scraped(address)
        assert f"collect_connected{{{of}}} 1.0" in told
        assert 'collect_rejected_total{pipeline="plant",reason="not_an_object",' in told
        assert collector.terminate() == 0
    for line in collector.log.read_text().splitlines():
        assert {"time", "level", "logger", "message"} <= set(json.loads(line))


def checked(text: str) -> str:
    return try_broker(parse_settings(text).collect["telemetry"])


def test_passwords(tmp_path, monkeypatch):
    told = {"username_env": "MQTT_USER", "password_env": "MQTT_PASSWORD"}
    with Mosquitto(password=PASSWORD) as broker:
        text = settings_text(tmp_path / "in", broker.address, **told)
        with pytest.raises(StreamError, match="MQTT_USER isn't set: export MQTT_USER="):
            checked(text)
        monkeypatch.setenv("MQTT_USER", USER)
        monkeypatch.setenv("MQTT_PASSWORD", PASSWORD)
        assert "takes the subscription" in checked(text)
        wrong = {"MQTT_PASSWORD": "guessed"}
        with Running(tmp_path / "wrong", broker.address, wrong, **told) as collector:
            assert collector.process.wait(SECONDS) == 1
            assert collector.says(f"{broker.address}: refuses: Not authorized.*login right")
            assert not collector.says("guessed")


def test_certificates(tmp_path):
    files = certificates(tmp_path)
    with Mosquitto(certificate=files) as broker:
        tls = {"ca_cert": str(files[0])}
        with Running(tmp_path / "right", broker.address, tls=tls) as collector:
            collector.wait_for("connected to")
            assert collector.terminate() == 0
        assert "takes the subscription" in checked(collector.text)
        with pytest.raises(StreamError, match=r"certificate is not trusted: .*put its authority"):
            checked(settings_text(tmp_path / "wrong", broker.address, tls={}))


def test_a_broker_that_is_not_there_yet_is_waited_for(tmp_path):
    broker = Mosquitto()
    with Running(tmp_path / "in", broker.address) as collector:
        collector.wait_for("can't be reached: Connection refused; again in 1 s")
        with broker:
            collector.wait_for("in a new session")
            assert collector.terminate() == 0
    with pytest.raises(StreamError, match=r"can't be reached: Connection refused"):
        checked(collector.text)


def test_check_tells_what_the_broker_says(tmp_path, broker):
    assert checked(settings_text(tmp_path / "in", broker.address)) == (
        f"{broker.address} takes the subscription to plant/+/readings"
    )
