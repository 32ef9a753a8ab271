"""Which client a stream is collected with, and whether its broker answers."""

import ssl
import threading
from typing import Any

from pipeline.collect import kafka, mqtt
from pipeline.collect.login import client
from pipeline.collect.messages import Broker, StreamError
from pipeline.collect.metrics import Metrics
from pipeline.settings.collect import AnyStream, KafkaStream, MqttStream

_SECONDS = 10.0


def broker(stream: AnyStream, metrics: Metrics) -> Broker:
    """The stream's broker, not connected yet."""
    if isinstance(stream, MqttStream):
        return mqtt.Mqtt(stream, metrics)
    return kafka.Kafka(stream, metrics)


def try_broker(stream: AnyStream) -> str:
    """Connects to a stream's broker and asks for its topics, taking nothing.

    Returns:
      What answered.

    Raises:
      StreamError: if it doesn't answer, refuses, or has no such topic.
    """
    return _try_mqtt(stream) if isinstance(stream, MqttStream) else _try_kafka(stream)


def _try_mqtt(stream: MqttStream) -> str:
    # Under a name of its own: the broker would end the session of a collector that is running.
    made = mqtt.make_client(stream, f"{stream.client_id}-check")
    answered = threading.Event()
    found: list[str] = []

    def on_connect(_: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if reason.is_failure:
            found.append(mqtt.refusal(reason))
            answered.set()
        else:
            mqtt.subscribe(made, stream)

    def on_subscribe(_: Any, __: Any, ___: Any, reasons: Any, ____: Any) -> None:
        topics = zip(stream.topics, reasons, strict=False)
        found.extend(f"topic {t!r} is refused: {r}" for t, r in topics if r.is_failure)
        answered.set()

    made.on_connect, made.on_subscribe = on_connect, on_subscribe
    try:
        mqtt.connect(made, stream, session=0)
    except ssl.SSLCertVerificationError as error:
        raise mqtt.untrusted(stream, error) from error
    except OSError as error:
        raise StreamError(
            f"{stream.address} can't be reached: {error.strerror or error}"
        ) from error
    made.loop_start()
    in_time = answered.wait(_SECONDS)
    made.disconnect()
    made.loop_stop()
    if found or not in_time:
        told = "; ".join(found) or f"doesn't answer within {_SECONDS:.0f} s"
        raise StreamError(f"{stream.address} {told}")
    return f"{stream.address} takes the subscription to {', '.join(stream.topics)}"


def _try_kafka(stream: KafkaStream) -> str:
    brokers = ", ".join(stream.brokers)
    admin = client("confluent_kafka.admin", "confluent-kafka")
    errors: list[str] = []
    options = {"log_level": 0, "error_cb": lambda error: errors.append(error.str())}
    made = admin.AdminClient(kafka.configuration(stream) | options)
    try:
        metadata = made.list_topics(timeout=_SECONDS)
    except client("confluent_kafka", "confluent-kafka").KafkaException as error:
        made.poll(0)  # Serves error_cb, which knows more.
        told = errors[0] if errors else error.args[0].str()
        raise StreamError(f"{brokers} can't be reached: {told}") from error
    # A pattern, which librdkafka tells by its beginning, may match nothing yet.
    lacking = [t for t in stream.topics if t not in metadata.topics and not t.startswith("^")]
    if lacking:
        raise StreamError(f"{brokers} has no topic {', '.join(lacking)}")
    counts = [
        f"{topic} ({len(metadata.topics[topic].partitions)} partitions)"
        for topic in stream.topics
        if topic in metadata.topics
    ]
    return f"{len(metadata.brokers)} brokers have {', '.join(counts) or 'no topic of the pattern'}"
