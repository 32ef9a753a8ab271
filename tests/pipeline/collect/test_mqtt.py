"""A collector of its own process at a real Mosquitto: restarts, kills, certificates, passwords."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import yaml

from components.ingest.durations import parse_instant
from components.ingest.sensor.features import SensorWindows, sensor_windows
from components.ingest.sources import SensorSource
from pipeline.collect.connect import try_broker
from pipeline.collect.messages import StreamError
from pipeline.settings import parse_settings
from tests.mosquitto import USER, Mosquitto
from tests.pipeline.collect.authority import certificates
from tests.pipeline.collect.conftest import landed, reading
from tests.postgres import free_port, wait_until

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[3]
SECONDS = 60
PASSWORD = "hunter2"


def settings_text(folder: Path, address: str, **changes) -> str:
    """settings.yaml of a project whose telemetry comes from the broker into ``folder``."""
    stream = {
        "kind": "mqtt",
        "address": address,
        "topics": ["plant/+/readings"],
        "client_id": "collector",
        "fields": {"received_at": "received_at"},
        "directory": str(folder),
        "flush": {"every": "200ms"},
        "metrics": None,
    }
    told = {
        "project": {"name": "plant"},
        "spine": "rows",
        "sources": {
            "rows": {
                "kind": "sql",
                "url": "sqlite:///plant.db",
                "query": "SELECT 1",
                "entity": "machine",
                "time": "at",
            },
            "telemetry": {
                "kind": "sensor",
                "path": f"{folder}/readings/**/*.parquet",
                "entity": "machine",
                "gateway": "gateway",
                "time": {"column": "ts", "received_at": "received_at"},
                "channels": {"temperature": {}, "pressure": {}},
                "windows": [{"size": "3h", "every": "1h", "aggregate": ["mean", "count"]}],
                "max_rejected": 1,
            },
        },
        "collect": {"telemetry": stream | changes},
        "label": {"name": "fails"},
        "split": {"by": "time", "train": "60d", "eval": "14d"},
    }
    return yaml.safe_dump(told)


class Running:
    """``python -m pipeline collect`` as a process."""

    def __init__(self, folder: Path, address: str, environment=None, **changes) -> None:
        self.folder = folder
        self.text = settings_text(folder, address, **changes)
        self.log = folder.with_suffix(".log")
        self._environment = os.environ | (environment or {})

    def __enter__(self) -> "Running":
        settings = self.folder.with_suffix(".yaml")
        settings.write_text(self.text)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pipeline", "--settings", settings),
                    *("collect", "--log-format", "json"),
                ],
                cwd=ROOT,
                env=self._environment,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def says(self, text: str, times: int = 1) -> bool:
        return len(re.findall(text, self.log.read_text())) >= times

    def wait_for(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.says(text, times), SECONDS)


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


def rows(count: int, first: int = 0) -> list[dict]:
    own = {"received_at": "2025-03-01T20:00:00Z"}
    return [reading(m, gateway=f"g{m % 2}", **own) for m in range(first, first + count)]


def source_of(text: str) -> SensorSource:
    source = parse_settings(text).sources["telemetry"]
    assert isinstance(source, SensorSource)
    return source


def windows(source: SensorSource) -> SensorWindows:
    begin, end = parse_instant("2025-03-01"), parse_instant("2025-03-02")
    return sensor_windows("telemetry", source, begin, end)


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
