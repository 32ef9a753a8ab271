"""What stands under ``collect:``: brokers whose messages become the files of a sensor source."""

import re
from typing import Annotated, Literal

import pydantic

from components.ingest.durations import MICROSECONDS, Duration, parse_duration
from components.ingest.paths import is_remote
from components.ingest.source import check_zone
from pipeline.settings.fields import FROZEN, EnvName, Positive, Text, matching

_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])"
_PORTS = range(1, 65_536)


def _has_no_login(value: str) -> str:
    if "@" in value:
        raise ValueError(
            "a password must not stand in settings: name the variables that hold the login as "
            "username_env and password_env"
        )
    return value


def _has_a_port(value: str) -> str:
    if int(value.rpartition(":")[2]) not in _PORTS:
        raise ValueError(f"expected a port from {_PORTS[0]} to {_PORTS[-1]}")
    return value


Address = Annotated[
    str,
    pydantic.AfterValidator(_has_no_login),
    matching(
        rf"{_HOST}:\d{{1,5}}",
        "expected a host and a port, such as 'broker.plant.example:8883', without a scheme",
    ),
    pydantic.AfterValidator(_has_a_port),
]
_PROPERTY = re.compile(r"@(?:topic(?:\[-?\d+\])?|key|payload|arrival)")
FieldPath = Annotated[
    str,
    matching(
        rf"{_PROPERTY.pattern}|(?:\$\.)?[^@$.\s][^.\s]*(?:\.[^.\s]+)*",
        "expected a field such as 'values.temp', '$.gateway' from the payload's top, '@topic[1]' "
        "for a level of the topic, '@topic', '@key', '@payload' or '@arrival'",
    ),
]


class Tls(pydantic.BaseModel):
    """An encrypted connection; files are PEM.

    ``ca_cert`` is a private authority's, by default the system's hold. ``certificate`` and ``key``
    are the collector's own, where the broker asks for them.
    """

    model_config = FROZEN

    ca_cert: Text | None = None
    certificate: Text | None = None
    key: Text | None = None

    @pydantic.model_validator(mode="after")
    def _key_and_certificate(self) -> "Tls":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: expected both or none")
        return self


class JsonPayload(pydantic.BaseModel):
    """JSON: an object that is one reading (or row), or an array of them.

    ``rows`` is where the array stands, if not at the top: ``data.readings``.
    """

    model_config = FROZEN

    kind: Literal["json"] = "json"
    rows: Text | None = None


class NumberPayload(pydantic.BaseModel):
    """A plain number such as ``21.5``: what it is of stands in the topic or the key."""

    model_config = FROZEN

    kind: Literal["number"]


class Flush(pydantic.BaseModel):
    """When what has arrived is written: at this age or this size in memory, whichever is first."""

    model_config = FROZEN

    every: Duration = parse_duration("1m")
    megabytes: Positive = 64.0


class Compact(pydantic.BaseModel):
    """What ``python -m pipeline collect --compact`` does with the files.

    Attributes:
      after: how long a day has to be over; from then on its files become few.
      megabytes: how large they become.
      keep: for how long the small ones stay for runs that are reading them.
    """

    model_config = FROZEN

    after: Duration = parse_duration("1d")
    megabytes: Positive = 128.0
    keep: Duration = parse_duration("6h")

    @pydantic.field_validator("keep")
    @classmethod
    def _whoever_looks_for_files_ends(cls, value: int) -> int:
        if value < MICROSECONDS["m"]:
            raise ValueError(
                "expected at least '1m': who looks for files must find old or new ones"
            )
        return value


class Stream(pydantic.BaseModel):
    """What all brokers have.

    Attributes:
      topics: what to subscribe to.
      username_env, password_env: the environment variables that hold the login.
      tls: how the connection is encrypted; ``{}`` for the system's authorities. None: it is not.
      payload: what a message holds.
      fields: by column of the sensor source the place in the message: a path of keys in the
        reading, ``$.`` before it for one from the payload's top, or one of the message's own
        properties. A column that isn't named is the reading's key of the same name;
        ``time.received_at`` is the arrival.
      time_unit, timezone: of times in messages; by default as the source's ``time`` says.
      directory: where readings and rejected messages go; ``collected/<source>`` below
        ``run.directory`` by default.
      flush: when they are written.
      compact: how many small files become few.
      metrics: where Prometheus is answered; null for nowhere.
    """

    model_config = FROZEN

    topics: Annotated[list[Text], pydantic.Field(min_length=1)]
    username_env: EnvName | None = None
    password_env: EnvName | None = None
    tls: Tls | None = None
    payload: Annotated[JsonPayload | NumberPayload, pydantic.Field(discriminator="kind")] = (
        JsonPayload()
    )
    fields: dict[Text, FieldPath] = {}
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    timezone: Text | None = None
    directory: Text | None = None
    flush: Flush = Flush()
    compact: Compact = Compact()
    metrics: Address | None = "127.0.0.1:9108"

    @pydantic.field_validator("directory")
    @classmethod
    def _lies_on_this_machine(cls, value: str | None) -> str | None:
        if value is not None and is_remote(value):
            raise ValueError(
                "expected a folder of this machine; what has landed can be copied to a store"
            )
        return value

    @pydantic.field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        return value and check_zone(value)

    @pydantic.model_validator(mode="after")
    def _login_is_whole(self) -> "Stream":
        if self.password_env is not None and self.username_env is None:
            raise ValueError("password_env needs username_env: the variable with the user's name")
        return self


class MqttStream(Stream):
    """An MQTT 5 broker.

    Attributes:
      client_id: names the session that the broker keeps for this collector; one at a time.
      session: for how long the broker keeps it, and what is published meanwhile.
      in_flight: how many messages the broker may send before the first is acknowledged, which it is
        once written: tell it the broker's own limit where that is lower.
    """

    kind: Literal["mqtt"]
    address: Address
    client_id: Text
    session: Duration = parse_duration("7d")
    in_flight: Annotated[int, pydantic.Field(strict=True, ge=2, le=65_535)] = 20_000

    @pydantic.field_validator("topics")
    @classmethod
    def _filters_are_whole(cls, value: list[str]) -> list[str]:
        for topic in value:
            levels = topic.split("/")
            if "#" in levels[:-1] or any(len(v) > 1 and ("#" in v or "+" in v) for v in levels):
                raise ValueError(
                    f"{topic!r} is no topic filter: '+' stands for a whole level, '#' for all that "
                    "follow, as in 'plant/+/readings'"
                )
        return value


class KafkaStream(Stream):
    """A Kafka cluster.

    Attributes:
      brokers: where to look for the cluster.
      group: the consumer group: collectors of one group share the partitions.
      start: where a new group begins.
      mechanism: how the login is told, if there is one.
      session_timeout: how long the group waits for a collector that says nothing.
    """

    kind: Literal["kafka"]
    brokers: Annotated[list[Address], pydantic.Field(min_length=1)]
    group: Text
    start: Literal["earliest", "latest"] = "earliest"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    session_timeout: Duration = parse_duration("45s")


AnyStream = Annotated[MqttStream | KafkaStream, pydantic.Field(discriminator="kind")]
