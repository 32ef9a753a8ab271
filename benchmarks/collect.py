"""Measures the collector against loops of the same client that only take, or decode, messages.

The messages lie at the broker before anything is measured: Mosquitto keeps them for sessions that
subscribed before, Tansu (which speaks Kafka's protocol) in a topic. ``bare`` takes each message,
``decode`` gives it to orjson, too, and throws away what that gave; ``collect`` makes columns of it,
writes them, fsyncs and acknowledges, as ``python -m pipeline collect`` does. By turns, each in a
process of its own; its clocks run from the first message to the last one's end. The round with the
least CPU time counts: that of the client's process, network thread and all, which other work on the
machine disturbs least.

Run ``python -m benchmarks.collect``; it needs Mosquitto (``make test-services`` installs it).
Results go to ``benchmarks/results/collect.json`` and ``.md``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from benchmarks.report import RESULTS, machine, write
from components.ingest.sensor.source import SensorSource
from pipeline.settings.collect import KafkaStream, MqttStream

WAYS = ("bare", "decode", "collect")
BATCHES = (1, 100)
TOPIC = "readings"
PARTITIONS = 4
_SECONDS = 120
Look = Callable[[bytes], object]
_BEGIN_MS = 1_740_787_200_000


def payloads(readings: int, batch: int) -> list[bytes]:
    """Messages of ``batch`` readings each: 50 machines at 8 gateways, one a second and machine."""
    rows = [
        {
            "machine_id": number % 50,
            "gateway": f"gateway-{number % 8}",
            "ts": _BEGIN_MS + number // 50 * 1000,
            "temperature": 60 + number % 977 / 100,
            "vibration": 1 + number % 89 / 1000,
            "pressure": 5 + number % 601 / 1000,
        }
        for number in range(readings)
    ]
    if batch == 1:
        return [orjson.dumps(row) for row in rows]
    return [orjson.dumps(rows[i : i + batch]) for i in range(0, readings, batch)]


def stream(kind: str, address: str, name: str) -> MqttStream | KafkaStream:
    """Settings of a collector; its session, or group, is called ``name``."""
    told = {"topics": [TOPIC], "time_unit": "ms", "metrics": None}
    if kind == "mqtt":
        own = {"kind": "mqtt", "address": address, "client_id": name}
        return MqttStream.model_validate(told | own)
    # Tansu waits for more members of a new group for half of it.
    own = {"kind": "kafka", "brokers": [address], "group": name, "session_timeout": "6s"}
    return KafkaStream.model_validate(told | own)


def collect(settings: MqttStream | KafkaStream, messages: int, folder: Path) -> tuple[float, float]:
    """The repository's way; returns CPU and wall seconds."""
    from pipeline.collect.collector import Collector
    from pipeline.collect.connect import broker
    from pipeline.collect.metrics import Metrics

    source = SensorSource.model_validate(
        {
            "kind": "sensor",
            "path": f"{folder}/readings/**/*.parquet",
            "entity": "machine_id",
            "gateway": "gateway",
            "time": {"column": "ts", "received_at": "received_at"},
            "channels": {"temperature": {}, "vibration": {}, "pressure": {}},
            "windows": [{"size": "3h", "aggregate": ["mean"]}],
        }
    )
    metrics = Metrics("benchmark", "telemetry")
    connection = broker(settings, metrics)
    collector = Collector("telemetry", source, settings, connection, folder, metrics)
    connection.open(collector.flush)
    arrived = metrics.messages._value.get
    begin = None
    while arrived() < messages:
        cpu, wall = time.process_time(), time.perf_counter()
        collector.turn()
        if begin is None and arrived():
            begin = cpu, wall
    assert collector.flush()
    assert begin is not None
    took = time.process_time() - begin[0], time.perf_counter() - begin[1]
    connection.close()
    return took


def loop_kafka(settings: KafkaStream, messages: int, look: Look) -> tuple[float, float]:
    """confluent-kafka's loop, with its default settings for how much is fetched ahead."""
    import confluent_kafka

    from pipeline.collect.kafka import configuration

    consumer = confluent_kafka.Consumer(
        configuration(settings)
        | {
            "group.id": settings.group,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": settings.session_timeout // 1000,
        }
    )
    consumer.subscribe(settings.topics)
    count, begin = 0, None
    while count < messages:
        cpu, wall = time.process_time(), time.perf_counter()
        found = consumer.consume(10_000, 0.25)
        for message in found:
            look(message.value())
        count += len(found)
        if begin is None and count:
            begin = cpu, wall
    assert begin is not None
    took = time.process_time() - begin[0], time.perf_counter() - begin[1]
    consumer.close()
    return took


def loop_mqtt(settings: MqttStream, messages: int, look: Look) -> tuple[float, float]:
    """Paho's loop, which acknowledges by itself."""
    from pipeline.collect import mqtt

    client = mqtt.make_client(settings, settings.client_id)
    clocks: list[tuple[float, float]] = []
    count = 0

    def on_message(_: Any, __: Any, message: Any) -> None:
        nonlocal count
        if not count:
            clocks.append((time.process_time(), time.perf_counter()))
        look(message.payload)
        count += 1
        if count == messages:
            clocks.append((time.process_time(), time.perf_counter()))
            client.disconnect()

    client.on_message = on_message
    mqtt.connect(client, settings, 3600)
    client.loop_forever()
    (cpu, wall), (cpu_end, wall_end) = clocks
    return cpu_end - cpu, wall_end - wall


def measure(way: str, kind: str, address: str, name: str, messages: int) -> dict[str, float]:
    """Takes all messages one way, in this process."""
    settings = stream(kind, address, name)
    if way == "collect":
        with tempfile.TemporaryDirectory() as folder:
            cpu, wall = collect(settings, messages, Path(folder))
    else:
        look: Look = orjson.loads if way == "decode" else len
        if isinstance(settings, KafkaStream):
            cpu, wall = loop_kafka(settings, messages, look)
        else:
            cpu, wall = loop_mqtt(settings, messages, look)
    return {"cpu_seconds": cpu, "wall_seconds": wall}


def fill_kafka(address: str, messages: list[bytes]) -> None:
    """Puts the messages into a topic."""
    import confluent_kafka
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(_SECONDS)
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": address, "queue.buffering.max.messages": len(messages) + 1}
    )
    for number, payload in enumerate(messages):
        producer.produce(TOPIC, payload, partition=number % PARTITIONS)
    assert producer.flush(_SECONDS) == 0


def fill_mqtt(address: str, messages: list[bytes], sessions: list[str]) -> None:
    """Publishes the messages; the broker keeps them for each of the sessions."""
    import paho.mqtt.client as paho

    from pipeline.collect import mqtt

    for name in sessions:
        settings = stream("mqtt", address, name)
        assert isinstance(settings, MqttStream)
        client = mqtt.make_client(settings, name)
        client.on_connect = lambda made, *_, told=settings: mqtt.subscribe(made, told)
        client.on_subscribe = lambda made, *_: made.disconnect()
        mqtt.connect(client, settings, 3600)
        client.loop_forever()
    publisher = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    publisher.max_inflight_messages_set(1000)
    host, _, port = address.rpartition(":")
    publisher.connect(host, int(port))
    publisher.loop_start()
    for told in [publisher.publish(TOPIC, payload, qos=1) for payload in messages]:
        told.wait_for_publish(_SECONDS)
    publisher.disconnect()
    publisher.loop_stop()


def compare(kind: str, batch: int, readings: int, rounds: int) -> dict[str, Any]:
    """Both ways of a broker by turns, on messages of ``batch`` readings each."""
    from tests.mosquitto import Mosquitto
    from tests.tansu import Tansu

    messages = payloads(readings, batch)
    names = {way: [f"{way}-{number}" for number in range(rounds)] for way in WAYS}
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with Mosquitto() if kind == "mqtt" else Tansu() as broker:
        if kind == "mqtt":
            fill_mqtt(
                broker.address, messages, [name for several in names.values() for name in several]
            )
        else:
            fill_kafka(broker.address, messages)
        for number in range(rounds):
            for way in WAYS:
                words = [way, kind, broker.address, names[way][number], str(len(messages))]
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.collect", "--measure", *words],
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=_SECONDS,
                )
                if done.returncode:
                    sys.exit(done.stderr)
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
    best: dict[str, Any] = {}
    for way, several in found.items():
        best[way] = min(several, key=lambda one: one["cpu_seconds"])
        best[way]["readings_per_cpu_second"] = readings / best[way]["cpu_seconds"]
        best[way]["readings_per_second"] = readings / min(one["wall_seconds"] for one in several)
    shares = {
        f"share_of_{way}": best[way]["cpu_seconds"] / best["collect"]["cpu_seconds"]
        for way in ("bare", "decode")
    }
    return {"broker": kind, "readings_a_message": batch, "readings": readings, **shares, **best}


def main() -> None:
    """Measures both brokers with small and large messages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--messages", type=int, default=60_000, help="of one reading")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, kind, address, name, messages = options.measure
        print(json.dumps(measure(way, kind, address, name, int(messages))))
        return
    cases = []
    for kind, factor in (("kafka", 5), ("mqtt", 1)):
        for batch in BATCHES:
            readings = options.messages * factor * (1 if batch == 1 else 10)
            cases.append(compare(kind, batch, readings, options.rounds))
            print(
                f"{kind}, {batch} a message: {cases[-1]['share_of_decode']:.0%} of decoding",
                flush=True,
            )
    write(options.output, "collect", {"machine": machine(), "cases": cases}, _table(cases))


def _table(cases: list[dict[str, Any]]) -> str:
    lines = [
        "The collector against loops of the same client that take the messages, or decode them, "
        "and do nothing else. Readings a second of the client's CPU time.",
        "",
        "| broker | readings a message | readings | taken | decoded | collected "
        "| share of taken | share of decoded | collected a second on the wall |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for case in cases:
        speeds = " | ".join(f"{case[way]['readings_per_cpu_second']:,.0f}" for way in WAYS)
        lines.append(
            f"| {case['broker']} | {case['readings_a_message']} | {case['readings']:,} | {speeds} "
            f"| {case['share_of_bare']:.0%} | {case['share_of_decode']:.0%} "
            f"| {case['collect']['readings_per_second']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
