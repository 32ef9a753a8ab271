"""Messages from Kafka: a consumer group whose offsets are committed once the readings are on disk.

Options are librdkafka's: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import orjson

from components.ingest.durations import MICROSECONDS
from pipeline.collect.login import client, login
from pipeline.collect.messages import Messages, StreamError
from pipeline.collect.metrics import Metrics
from pipeline.settings.collect import KafkaStream

_AHEAD_KILOBYTES = 32 << 10
_AHEAD_MESSAGES = 1_000_000
_FETCH_AGAIN_MILLISECONDS = 20
_TAKE_BYTES = 8 << 20
_TAKE_MESSAGES = 10_000
_TELL_SECONDS = 5.0
_ASK_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Kafka:
    """A member of a consumer group; see ``pipeline.collect.messages.Broker``.

    Backpressure: partitions are paused, and librdkafka fetches at most 32 MiB ahead.
    """

    full = False

    def __init__(self, settings: KafkaStream, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._last: dict[tuple[str, int | None], int] = {}
        self._held = False
        self._take = _TAKE_MESSAGES
        self._lag_at = 0.0
        self._welcome = False
        self._error: StreamError | None = None

    def open(self, before_taken_away: Callable[[], bool]) -> None:
        """See Broker."""
        self._kafka = client("confluent_kafka", "confluent-kafka")
        self._before_taken_away = before_taken_away
        self._consumer = self._kafka.Consumer(
            configuration(self._settings)
            | {
                "group.id": self._settings.group,
                "auto.offset.reset": self._settings.start,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "session.timeout.ms": self._settings.session_timeout // MICROSECONDS["ms"],
                "queued.max.messages.kbytes": _AHEAD_KILOBYTES,
                # By default it stops fetching for a second at 100,000 messages, however small.
                "queued.min.messages": _AHEAD_MESSAGES,
                "fetch.queue.backoff.ms": _FETCH_AGAIN_MILLISECONDS,
                "error_cb": self._on_error,
                "stats_cb": self._on_statistics,
                "statistics.interval.ms": int(_TELL_SECONDS * 1000),
            },
            logger=_log,
        )
        self._consumer.subscribe(
            self._settings.topics,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, seconds: float, hold: bool = False) -> Messages:
        """See Broker."""
        if hold or self._held:
            # Again each time: partitions may have come in between.
            (self._consumer.pause if hold else self._consumer.resume)(self._consumer.assignment())
            self._held = hold
        found = self._consumer.consume(self._take, seconds)
        if self._error is not None:
            raise self._error
        arrived = self._columns(found)
        if len(arrived):
            places = zip(arrived.topics, arrived.partitions, strict=True)
            self._last |= dict(zip(places, arrived.numbers, strict=True))
            size = sum(map(len, filter(None, arrived.payloads))) // len(arrived) + 1
            self._take = min(max(_TAKE_BYTES // size, 1), _TAKE_MESSAGES)
        self._tell_lag()
        return arrived

    def acknowledge(self) -> None:
        """See Broker: commits offsets. If that fails they are committed with the next ones."""
        if not self._last:
            return
        offsets = [
            self._kafka.TopicPartition(topic, partition, offset + 1)
            for (topic, partition), offset in self._last.items()
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except self._kafka.KafkaException as error:
            _log.warning("offsets are not committed yet: %s", error.args[0].str())
            return
        self._last.clear()

    def close(self) -> None:
        """See Broker."""
        self._consumer.close()
        self._metrics.connected.set(0)

    def _columns(self, found: list[Any]) -> Messages:
        """Messages as columns, by the client's C functions; what is an error is told."""
        message = self._kafka.Message
        if any(map(message.error, found)):
            for error in filter(None, map(message.error, found)):
                self._on_error(error)
            found = [one for one in found if one.error() is None]
        return Messages(
            payloads=list(map(message.value, found)),
            topics=list(map(message.topic, found)),
            keys=list(map(message.key, found)),
            arrived=list(map(self._instant, map(message.timestamp, found))),
            partitions=list(map(message.partition, found)),
            numbers=list(map(message.offset, found)),
        )

    def _instant(self, stamp: tuple[int, int]) -> int:
        kind, milliseconds = stamp
        if kind == self._kafka.TIMESTAMP_NOT_AVAILABLE:
            return time.time_ns() // 1000
        return milliseconds * MICROSECONDS["ms"]

    def _on_error(self, error: Any) -> None:
        codes = self._kafka.KafkaError
        _log.warning("Kafka: %s", error.str())
        if error.code() == codes._ALL_BROKERS_DOWN:
            self._metrics.connected.set(0)
        refused = (
            codes.TOPIC_AUTHORIZATION_FAILED,
            codes.GROUP_AUTHORIZATION_FAILED,
            codes._AUTHENTICATION,
        )
        if error.fatal() or (error.code() in refused and not self._welcome):
            brokers = ", ".join(self._settings.brokers)
            self._error = StreamError(
                f"{brokers} refuses: {error.str()}: are the login and what it may read right?"
            )

    def _on_statistics(self, text: str) -> None:
        told = orjson.loads(text)
        up = any(b["state"] == "UP" for b in told["brokers"].values() if b["nodeid"] >= 0)
        self._metrics.connected.set(up and told["cgrp"]["state"] == "up")

    def _on_assign(self, _: Any, partitions: list[Any]) -> None:
        self._welcome = True
        self._metrics.connects.inc()
        self._metrics.connected.set(1)
        told = ", ".join(f"{p.topic}[{p.partition}]" for p in partitions)
        _log.info("partitions of this collector: %s", told or "none: the group has more collectors")

    def _on_revoke(self, _: Any, partitions: list[Any]) -> None:
        self._before_taken_away()
        self._forget(partitions)

    def _on_lost(self, _: Any, partitions: list[Any]) -> None:
        _log.warning("the group went on without this collector: its readings may land twice")
        self._forget(partitions)

    def _forget(self, partitions: list[Any]) -> None:
        for partition in partitions:
            self._last.pop((partition.topic, partition.partition), None)

    def _tell_lag(self) -> None:
        now = time.monotonic()
        if now < self._lag_at:
            return
        self._lag_at = now + _TELL_SECONDS
        lag = {}
        try:
            for place in self._consumer.position(self._consumer.assignment()):
                # What is fetched tells where the partition ends; paused ones have to be asked.
                _, end = self._consumer.get_watermark_offsets(
                    place, timeout=_ASK_SECONDS, cached=not self._held
                ) or (0, -1)
                if place.offset >= 0 and end >= 0:
                    lag[place.topic, place.partition] = end - place.offset
        except self._kafka.KafkaException:
            return  # The next time will tell.
        self._metrics.lag(lag)


def configuration(settings: KafkaStream) -> dict[str, Any]:
    """How to reach the cluster, as librdkafka's options.

    Raises:
      StreamError: if a login's variable isn't set.
    """
    options: dict[str, Any] = {"bootstrap.servers": ",".join(settings.brokers)}
    user = login(settings)
    encrypted = "SSL" if settings.tls is not None else "PLAINTEXT"
    options["security.protocol"] = encrypted if user is None else f"SASL_{encrypted}"
    if user is not None:
        name, password = user
        options |= {
            "sasl.mechanism": settings.mechanism,
            "sasl.username": name,
            "sasl.password": password or "",
        }
    if settings.tls is not None:
        files = {
            "ssl.ca.location": settings.tls.ca_cert,
            "ssl.certificate.location": settings.tls.certificate,
            "ssl.key.location": settings.tls.key,
        }
        options |= {option: file for option, file in files.items() if file is not None}
    return options
