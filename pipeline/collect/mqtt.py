"""Messages from an MQTT 5 broker: QoS 1, a session that the broker keeps, acknowledged by hand.

https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html, by paho.
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from components.ingest.durations import MICROSECONDS
from pipeline.collect.login import client, login
from pipeline.collect.messages import Messages, StreamError
from pipeline.collect.metrics import Metrics
from pipeline.settings.collect import MqttStream

_AHEAD_BYTES = 8 << 20
_TAKE_MESSAGES = 10_000
_KEEP_ALIVE = 60
_CONNECT_SECONDS = 10.0
_RETRY_SECONDS = (1, 30)
_OVERHEAD = 200

_SESSION_TAKEN_OVER = 142
# Of a CONNACK (3.2.2.2): what the next attempt would not change.
_FOR_GOOD = {
    129: "malformed packet",
    130: "protocol error",
    132: "the broker doesn't speak MQTT 5",
    133: "client_id is refused",
    134: "user name or password is wrong",
    135: "not authorized: is the login right, and may it connect?",
    138: "banned",
    140: "bad authentication method",
}

_log = logging.getLogger(__name__)


class Mqtt:
    """A session at an MQTT broker; see ``pipeline.collect.messages.Broker``.

    Backpressure: the broker sends at most ``in_flight`` unacknowledged messages. Should those be
    large, the network thread stops reading at 8 MiB.
    """

    def __init__(self, settings: MqttStream, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._changed = threading.Condition()
        # The rest is guarded by it.
        self._arrived = Messages()
        self._arrived_bytes = 0
        self._packets: list[tuple[int, int]] = []
        self._taken: list[tuple[int, int]] = []
        self._connection = 0
        self._error: StreamError | None = None
        self._closing = False
        self._started = False
        self._welcome = False
        self._retry_at = 0.0
        self._wait = 0.0

    @property
    def full(self) -> bool:
        """Whether half of what may be in flight is."""
        return len(self._taken) + len(self._packets) >= self._settings.in_flight // 2

    def open(self, before_taken_away: Callable[[], bool]) -> None:
        """See Broker; nothing is taken away: a session has one client."""
        self._client = make_client(self._settings, self._settings.client_id, manual_ack=True)
        self._client.reconnect_delay_set(*_RETRY_SECONDS)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def poll(self, seconds: float, hold: bool = False) -> Messages:
        """See Broker."""
        if not self._started:
            self._start(seconds)
        with self._changed:
            if self._error is not None:
                raise self._error
            if hold:
                self._changed.wait(seconds)
                return Messages()
            # Many at once: columns of a few messages cost as much as of thousands.
            self._changed.wait_for(self._enough, seconds)
            arrived, self._arrived, self._arrived_bytes = self._arrived, Messages(), 0
            self._taken += self._packets
            self._packets = []
            self._changed.notify_all()
        return arrived

    def acknowledge(self) -> None:
        """See Broker; packets of an earlier connection are left out: their ids may be others'."""
        with self._changed:
            for connection, packet in self._taken:
                if connection == self._connection:
                    self._client.ack(packet, 1)
            self._taken = []

    def close(self) -> None:
        """See Broker."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._started:
            self._client.disconnect()
            self._client.loop_stop()

    def _start(self, seconds: float) -> None:
        """Connects for the first time; afterwards paho does."""
        if time.monotonic() < self._retry_at:
            time.sleep(seconds)
            return
        try:
            connect(self._client, self._settings, self._settings.session // MICROSECONDS["s"])
        except ssl.SSLCertVerificationError as error:
            raise untrusted(self._settings, error) from error
        except OSError as error:
            shortest, longest = _RETRY_SECONDS
            self._wait = min(max(2 * self._wait, shortest), longest)
            self._retry_at = time.monotonic() + self._wait
            _log.warning(
                "%s can't be reached: %s; again in %.0f s",
                self._settings.address,
                error.strerror or error,
                self._wait,
            )
            return
        self._client.loop_start()
        self._started = True

    def _fail(self, message: str) -> None:
        with self._changed:
            self._error = StreamError(f"{self._settings.address}: {message}")
            self._changed.notify_all()

    def _on_connect(self, _: Any, __: Any, flags: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            if reason.value in _FOR_GOOD and not self._welcome:
                self._fail(refusal(reason))
            else:
                _log.warning("%s refuses: %s", self._settings.address, reason)
            return
        self._welcome = True
        self._metrics.connects.inc()
        self._metrics.connected.set(1)
        kept = "with the session it kept" if flags.session_present else "in a new session"
        _log.info("connected to %s %s", self._settings.address, kept)
        subscribe(self._client, self._settings)

    def _on_connect_fail(self, _: Any, __: Any) -> None:
        _log.warning("%s can't be reached; paho tries again", self._settings.address)

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        with self._changed:
            # Before paho connects again, and under the lock: acknowledge must not mistake a packet
            # of this connection for one of the next.
            self._connection += 1
        self._metrics.connected.set(0)
        if reason.value == _SESSION_TAKEN_OVER:
            self._fail(
                f"another client connected as {self._settings.client_id!r}: give each collector "
                "its own client_id"
            )
        elif not self._closing:
            _log.warning("disconnected from %s: %s", self._settings.address, reason)

    def _on_subscribe(self, _: Any, __: Any, ___: Any, reasons: Any, ____: Any) -> None:
        for topic, reason in zip(self._settings.topics, reasons, strict=False):
            if reason.is_failure:
                self._fail(f"topic {topic!r} is refused: {reason}: may this login read it?")

    def _on_message(self, _: Any, __: Any, message: Any) -> None:
        size = len(message.payload) + _OVERHEAD
        with self._changed:
            connection = self._connection
            while self._arrived_bytes and self._arrived_bytes + size > _AHEAD_BYTES:
                if self._closing:
                    return
                self._changed.wait()
            arrived = self._arrived
            arrived.payloads.append(message.payload)
            arrived.topics.append(message.topic)
            arrived.keys.append(None)
            arrived.arrived.append(time.time_ns() // 1000)
            arrived.partitions.append(None)
            arrived.numbers.append(message.mid)
            self._arrived_bytes += size
            if message.qos:
                self._packets.append((connection, message.mid))
            if self._enough():
                self._changed.notify_all()

    def _enough(self) -> bool:
        return (
            self.full
            or len(self._arrived) >= _TAKE_MESSAGES
            or self._arrived_bytes >= _AHEAD_BYTES // 2
            or self._error is not None
            or self._closing
        )


def make_client(settings: MqttStream, client_id: str, manual_ack: bool = False) -> Any:
    """Paho's client with the settings' login and certificates.

    Raises:
      StreamError: if paho isn't installed, a variable isn't set or a file can't be read.
    """
    paho = client("paho.mqtt.client", "paho-mqtt")
    made = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv5,
        manual_ack=manual_ack,
    )
    made.connect_timeout = _CONNECT_SECONDS
    user = login(settings)
    if user is not None:
        made.username_pw_set(*user)
    if settings.tls is not None:
        tls = settings.tls
        try:
            made.tls_set(ca_certs=tls.ca_cert, certfile=tls.certificate, keyfile=tls.key)
        except (OSError, ValueError) as error:
            files = ", ".join(file for file in (tls.ca_cert, tls.certificate, tls.key) if file)
            raise StreamError(f"tls: {files}: {error}: expected PEM files") from error
    return made


def connect(made: Any, settings: MqttStream, session: int) -> None:
    """Connects; ``session`` is for how many seconds the broker shall keep it.

    Raises:
      OSError: if the broker can't be reached.
      ssl.SSLCertVerificationError: if its certificate isn't trusted.
    """
    properties = client("paho.mqtt.properties", "paho-mqtt")
    packets = client("paho.mqtt.packettypes", "paho-mqtt")
    told = properties.Properties(packets.PacketTypes.CONNECT)
    told.SessionExpiryInterval = min(session, 0xFFFFFFFE)
    told.ReceiveMaximum = settings.in_flight
    host, _, port = settings.address.rpartition(":")
    made.connect(
        host.strip("[]"),
        int(port),
        keepalive=_KEEP_ALIVE,
        clean_start=session == 0,
        properties=told,
    )


def subscribe(made: Any, settings: MqttStream) -> None:
    """Subscribes to the topics; what is retained there comes only to a new subscription."""
    options = client("paho.mqtt.subscribeoptions", "paho-mqtt").SubscribeOptions
    new_only = options.RETAIN_SEND_IF_NEW_SUB
    made.subscribe([(t, options(qos=1, retainHandling=new_only)) for t in settings.topics])


def refusal(reason: Any) -> str:
    """A reason code of a CONNACK in words."""
    return f"refuses: {reason}: {_FOR_GOOD.get(reason.value, 'try again later')}"


def untrusted(settings: MqttStream, error: ssl.SSLCertVerificationError) -> StreamError:
    """The error for a broker whose certificate isn't trusted."""
    return StreamError(
        f"{settings.address}: its certificate is not trusted: {error.verify_message}: put its "
        "authority into tls.ca_cert, and use the name that the certificate is for"
    )
