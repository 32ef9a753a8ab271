"""What an MQTT session does at moments that a real broker can't be brought to; see test_mqtt."""

import types

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from pipeline.collect import login
from pipeline.collect.messages import StreamError
from pipeline.collect.metrics import Metrics
from pipeline.collect.mqtt import Mqtt, make_client
from pipeline.settings.collect import MqttStream


def settings(**changes) -> MqttStream:
    told = {"kind": "mqtt", "address": "localhost:1", "topics": ["t"], "client_id": "me"}
    return MqttStream.model_validate(told | changes)


class Session:
    """A session whose network is the test: it delivers, and keeps what is acknowledged."""

    def __init__(self, **changes) -> None:
        self.mqtt = Mqtt(settings(**changes), Metrics("plant", "telemetry"))
        self.mqtt.open(lambda: True)
        self.acknowledged: list[int] = []
        self.mqtt._client = types.SimpleNamespace(
            ack=lambda mid, qos: self.acknowledged.append(mid)
        )
        self.mqtt._started = True

    def deliver(self, *packets: int, qos: int = 1) -> None:
        for packet in packets:
            message = paho.MQTTMessage(packet, b"t")
            message.payload, message.qos = b"{}", qos
            self.mqtt._on_message(None, None, message)

    def disconnect(self, reason: str) -> None:
        code = ReasonCode(PacketTypes.DISCONNECT, reason)
        self.mqtt._on_disconnect(None, None, None, code, None)


def test_what_was_taken_is_acknowledged_in_its_order_and_once():
    session = Session()
    session.deliver(5, 3)
    assert session.mqtt.poll(0).numbers == [5, 3]
    session.deliver(9)
    session.mqtt.acknowledge()
    session.mqtt.acknowledge()
    assert session.acknowledged == [5, 3]


def test_packets_of_an_earlier_connection_are_not_acknowledged():
    """A broker that lost its session gives their ids to other messages."""
    session = Session()
    session.deliver(1, 2)
    session.mqtt.poll(0)
    session.disconnect("Unspecified error")
    session.deliver(1)
    session.mqtt.poll(0)
    session.mqtt.acknowledge()
    assert session.acknowledged == [1]


def test_qos_0_has_nothing_to_acknowledge():
    session = Session()
    session.deliver(0, qos=0)
    assert len(session.mqtt.poll(0)) == 1
    session.mqtt.acknowledge()
    assert session.acknowledged == []


def test_it_is_full_at_half_of_what_may_be_in_flight():
    session = Session(in_flight=4)
    session.deliver(1)
    assert not session.mqtt.full
    session.deliver(2)
    assert session.mqtt.full


def test_held_it_gives_nothing():
    session = Session()
    session.deliver(1)
    assert len(session.mqtt.poll(0, hold=True)) == 0
    assert len(session.mqtt.poll(0)) == 1


def test_another_client_of_that_name_ends_it():
    session = Session()
    session.disconnect("Session taken over")
    with pytest.raises(StreamError, match="another client connected as 'me': give each"):
        session.mqtt.poll(0)


def test_a_client_that_is_not_installed(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(login.importlib, "import_module", missing)
    with pytest.raises(StreamError, match=r"paho-mqtt is not installed .*requirements/streams.in"):
        make_client(settings(), "me")


def test_a_certificate_that_is_no_file(tmp_path):
    told = settings(tls={"ca_cert": str(tmp_path / "gone.pem")})
    with pytest.raises(StreamError, match=r"tls: .*gone.pem: .*No such file.*expected PEM files"):
        make_client(told, "me")
