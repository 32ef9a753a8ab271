"""Messages into a sensor source's columns."""

import json

import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import pytest

from components.ingest.durations import parse_instant
from pipeline.collect.messages import Messages
from pipeline.collect.readings import REASONS, Reader, join
from tests.pipeline.collect.conftest import NOON, messages, reading, sensor_source, stream

LONG = {"layout": "long", "channel": "channel", "value": "value", "channels": {"temp": {}}}


def read(found: Messages, source=None, **settings):
    return Reader(source or sensor_source(), stream(**settings)).read(found)


def column(parsed, name):
    return parsed.readings.column(name).to_pylist()


def instants(parsed, name="ts"):
    return parsed.readings.column(name).cast(pa.int64()).to_pylist()


def reasons(parsed):
    return parsed.rejected.column("reason").to_pylist()


def test_objects_become_the_sources_columns():
    parsed = read(messages(reading(0), reading(1, machine=8, gateway="g2", beside="left out")))
    assert parsed.readings.column_names == [
        "machine",
        "ts",
        "received_at",
        "gateway",
        "temperature",
        "pressure",
    ]
    assert column(parsed, "machine") == [7, 8]
    assert column(parsed, "temperature") == [0.5, 1.5]
    assert column(parsed, "pressure") == [0.0, 2.0]
    assert instants(parsed) == [NOON, NOON + 60_000_000]
    assert instants(parsed, "received_at") == [NOON, NOON]
    assert len(parsed.rejected) == 0


def test_no_messages_are_no_readings():
    parsed = read(Messages())
    assert (len(parsed.readings), len(parsed.rejected)) == (0, 0)


def test_an_array_is_a_reading_each():
    parsed = read(messages([reading(0), reading(1)], reading(2), []))
    assert column(parsed, "temperature") == [0.5, 1.5, 2.5]


def test_arrays_alone_know_their_messages():
    late = reading(1, ts="soon")
    lacking = {key: value for key, value in reading(2).items() if key != "pressure"}
    parsed = read(messages([reading(0), late], [lacking], [reading(3, ts="then")]))
    assert column(parsed, "temperature") == [0.5, 2.5]
    assert column(parsed, "pressure") == [0.0, None]
    assert parsed.rejected.column("number").to_pylist() == [0, 2]


def test_fields_are_found_by_path():
    payload = {
        "head": {"gw": "g9"},
        "data": {"items": [{"id": "a", "at": 1_740_830_400, "v": {"t": 1, "p": None}}]},
    }
    parsed = read(
        messages(payload),
        payload={"kind": "json", "rows": "data.items"},
        fields={
            "machine": "id",
            "gateway": "$.head.gw",
            "ts": "at",
            "temperature": "v.t",
            "pressure": "v.p",
        },
        time_unit="s",
    )
    assert parsed.readings.to_pylist()[0] == {
        "machine": "a",
        "gateway": "g9",
        "ts": pa.scalar(NOON, pa.timestamp("us", "UTC")).as_py(),
        "received_at": pa.scalar(NOON, pa.timestamp("us", "UTC")).as_py(),
        "temperature": 1.0,
        "pressure": None,
    }


def test_plain_numbers_are_told_by_topic_and_arrival():
    parsed = read(
        messages(b"21.5", b" -3e1 ", b"on", b"", topic="plant/7/temp", arrived=NOON),
        sensor_source(time={"column": "ts"}, gateway=None, **LONG),
        payload={"kind": "number"},
        fields={
            "machine": "@topic[1]",
            "channel": "@topic[-1]",
            "value": "@payload",
            "ts": "@arrival",
        },
    )
    assert parsed.readings.drop(["ts"]).to_pylist() == [
        {"machine": 7, "channel": "temp", "value": 21.5},
        {"machine": 7, "channel": "temp", "value": -30.0},
    ]
    assert instants(parsed) == [NOON, NOON]
    assert sorted(reasons(parsed)) == ["empty", "not_a_number"]
    assert b"on" in parsed.rejected.column("payload").to_pylist()


@pytest.mark.parametrize(
    ("topic", "field", "expected"),
    [
        ("plant/7/x", "@topic[1]", 7),
        ("plant/007/x", "@topic[1]", "007"),
        ("plant/m-7/x", "@topic[1]", "m-7"),
        ("plant", "@topic[1]", None),
        ("plant/7", "@topic", "plant/7"),
        ("plant", "@key", "key"),
    ],
)
def test_an_entity_from_the_topic_or_key(topic, field, expected):
    parsed = read(messages(reading(0), topic=topic), fields={"machine": field})
    assert column(parsed, "machine") == [expected]


@pytest.mark.parametrize(
    ("time", "zone", "expected"),
    [
        ("2025-03-01T12:00:00Z", "UTC", "2025-03-01T12:00:00Z"),
        ("2025-03-01T12:00:00+02:00", "UTC", "2025-03-01T10:00:00Z"),
        ("2025-03-01 12:00:00.1234567", "UTC", "2025-03-01T12:00:00.123456Z"),
        ("2025-03-01T12:00:00", "Europe/Berlin", "2025-03-01T11:00:00Z"),
        ("2025-10-26T02:30:00", "Europe/Berlin", "2025-10-26T00:30:00Z"),
    ],
)
def test_times_are_read_as_the_sensor_reader_reads_them(time, zone, expected):
    parsed = read(messages(reading(0, ts=time)), timezone=zone)
    assert instants(parsed) == [parse_instant(expected)]


def test_what_cannot_be_placed_is_rejected_whole():
    bad = [
        b"{cut off",
        None,
        5,
        [reading(0), "x", None],
        reading(0, ts=None),
        reading(0, ts="yesterday"),
        reading(0, ts=12),
        reading(0, ts="2025-03-30T02:30:00"),
        reading(0, ts={"deep": 1}),
    ]
    parsed = read(messages(*bad), timezone="Europe/Berlin")
    assert len(parsed.readings) == 1
    told = {(row["number"], row["reason"], row["payload"]) for row in parsed.rejected.to_pylist()}
    assert told == {
        (0, "malformed", b"{cut off"),
        (1, "empty", None),
        (2, "not_an_object", b"5"),
        (3, "not_an_object", b'"x"'),
        (3, "not_an_object", b"null"),
        (4, "no_time", compact(bad[4])),
        *((number, "bad_time", compact(bad[number])) for number in (5, 6, 7, 8)),
    }
    assert {row["topic"] for row in parsed.rejected.to_pylist()} == {"plant/7/readings"}


def compact(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def test_times_outside_the_calendar_are_rejected():
    parsed = read(messages(*(reading(0, ts=t) for t in (2**62, -(2**62), 4e18))), time_unit="us")
    assert reasons(parsed) == ["bad_time"] * 3


def test_rows_that_are_not_there():
    parsed = read(messages({"a": 1}, reading(0)), payload={"kind": "json", "rows": "rows"})
    assert reasons(parsed) == ["no_rows", "no_rows"]


def test_received_at_of_the_payload_goes_before_the_arrival():
    own = {"received_at": "received_at"}
    told = read(messages(reading(0, received_at="2025-03-01T12:01:00Z"), reading(1)), fields=own)
    assert column(told, "received_at")[1] is None
    assert instants(told, "received_at")[0] == NOON + 60_000_000
    assert reasons(read(messages(reading(0, received_at="soon")), fields=own)) == ["bad_time"]


def test_values_that_are_no_numbers_stay_as_they_are():
    values = [1, "12,5", True, {"a": [1]}, 2**70, None]
    parsed = read(messages(*(reading(0, temperature=v) for v in values)))
    assert column(parsed, "temperature") == ["1", "12,5", "true", '{"a":[1]}', str(2.0**70), None]
    whole = read(messages(reading(0, temperature=True), reading(0, temperature=False)))
    assert column(whole, "temperature") == [1, 0]


def test_tables_of_other_types_are_joined_as_text():
    parts = [
        read(messages(reading(0))).readings,
        read(messages(reading(1, machine="007", temperature=None, gateway=None))).readings,
        read(messages(reading(2, pressure="12,5"))).readings,
    ]
    joined = join(parts)
    assert joined.column("machine").to_pylist() == ["7", "007", "7"]
    assert joined.column("temperature").to_pylist() == [0.5, None, 2.5]
    assert joined.column("pressure").to_pylist() == ["0", "2", "12,5"]
    assert joined.column("gateway").to_pylist() == ["g1", None, "g1"]


keys = st.sampled_from(["machine", "ts", "gateway", "temperature", "pressure", "received_at"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
payloads = st.none() | st.binary(max_size=20) | json_values.map(lambda v: json.dumps(v).encode())


@hypothesis.given(st.lists(payloads, max_size=6), st.sampled_from([None, "temperature"]))
@hypothesis.settings(max_examples=200, deadline=None)
def test_whatever_arrives_is_landed_or_rejected(found, rows):
    parsed = read(messages(*found), payload={"kind": "json", "rows": rows}, time_unit="us")
    assert set(reasons(parsed)) <= set(REASONS)
    if rows is None and not any((p or b"").lstrip()[:1] == b"[" for p in found):
        assert len(parsed.readings) + len(parsed.rejected) == len(found)
