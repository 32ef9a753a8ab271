"""Lines that are laid out alike: what is read of them is what Arrow's JSON parser reads."""

import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.json as pa_json
import pytest

from components.ingest.sensor.alike import parse_alike

SCHEMA = pa.schema(
    [("machine", pa.int64()), ("ts", pa.string()), ("gone", pa.string()), ("heat", pa.float64())]
)
ROWS = [
    {"machine": n, "ts": f"2025-01-01T00:00:{n:02}Z", "note": "größer: {}", "age": -n, "heat": heat}
    for n, heat in enumerate([60.25, -0.5, 1e-7, 7, 0, 1.5e30])
]


def written(row: dict[str, Any], **how: Any) -> str:
    return json.dumps(row, ensure_ascii=False, **how)


def block(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def by_json(text: bytes) -> pa.RecordBatch | None:
    options = pa_json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="ignore")
    try:
        table = pa_json.read_json(pa.BufferReader(text), parse_options=options)
    except pa.ArrowInvalid:
        return None
    return table.combine_chunks().to_batches()[0]


def parse(text: bytes) -> pa.RecordBatch | None:
    """What is read of lines that are alike, which must be what JSON says."""
    found = parse_alike(text, text.count(b"\n"), SCHEMA)
    if found is not None:
        assert found.equals(by_json(text)), text
    return found


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_lines_that_are_alike_are_read(separators: tuple[str, str]) -> None:
    lines = [written(row, separators=separators) for row in ROWS]
    found = parse(block(*lines))
    assert found is not None
    assert found.to_pylist() == [
        {"machine": row["machine"], "ts": row["ts"], "gone": None, "heat": row["heat"]}
        for row in ROWS
    ]


def test_numbers_may_be_missing() -> None:
    lines = [written(row | {"heat": None, "age": None}) for row in ROWS[1:4]]
    found = parse(block(written(ROWS[0]), *lines))
    assert found is not None
    assert found["heat"].to_pylist() == [60.25, None, None, None]


@pytest.mark.parametrize("number", ["5", "-0", "0.0", "-0.5e-3", "1E5", "10", "12e+05"])
def test_numbers_that_json_knows(number: str) -> None:
    assert parse(block('{"heat": 1}', f'{{"heat": {number}}}', '{"heat": 2}')) is not None


@pytest.mark.parametrize(
    "number",
    [
        *(
            "01",
            "-01",
            "00",
            "+1",
            ".5",
            "5.",
            "-.5",
            "1.e5",
            "1e",
            "e5",
            "-",
            "--1",
            "1-2",
            "1.2.3",
        ),
        *("nan", "inf", "-Infinity", "0x10", "1_000", "", " 1", "1 ", "true", '"5"', "nul", "[1]"),
        *("1e400", "0e400", "1e-400", "1" * 31),
    ],
)
def test_numbers_that_it_does_not_know(number: str) -> None:
    assert parse(block('{"heat": 1}', f'{{"heat": {number}}}', '{"heat": 2}')) is None
    unread = block('{"age": 1, "heat": 1}', f'{{"age": {number}, "heat": 2}}')
    assert parse(unread) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"ts": "a", "machine": 1}',
        '{"machine": 1, "ts": "a", "heat": 2}',
        '{"machine": 1}',
        '{"machine": 1, "ts": "a,b"}',
        '{"machine": 1, "ts": "a\\u0041"}',
        '{"machine": 1, "ts": "a"b"}',
        '{"machine": 1, "ts": "a\tb"}',
        '{"machine": 1, "ts": null}',
        '{"machine": 1.5, "ts": "a"}',
        '{"machine": 99999999999999999999, "ts": "a"}',
        '{"machine": 1,  "ts": "a"}',
        '{"machine": 1, "ts": "a"}\r',
        '{"machine": 1, "ts": "a"',
        '{"machine": 1, "tx": "a"}',
        "",
    ],
)
def test_lines_of_another_kind_are_left_to_the_parser(line: str) -> None:
    usual = '{"machine": 1, "ts": "a"}'
    assert parse(block(usual, usual)) is not None
    assert parse(block(usual, line, usual)) is None
    assert parse(block(usual)[:-1]) is None


@pytest.mark.parametrize(
    "line",
    [
        *('{"machine": 1, "machine": 2}', '{"a": {"machine": 1}}', '{"machine": [1, 2]}', "[1]"),
        *('{"machine": "1"}', '{"ts": 1}', '{"heat": true}', "{}", "1", "", "no"),
    ],
)
def test_objects_that_are_no_flat_rows_are_left_to_the_parser(line: str) -> None:
    assert parse(block(line, line)) is None


def test_bytes_changed_at_random_are_never_read_otherwise() -> None:
    draw = random.Random(1)
    whole = block(*(written(row) for row in ROWS))
    read = 0
    for _ in range(2000):
        text = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2])):
            at = draw.randrange(len(text) - 1)
            text[at : at + draw.randrange(2)] = bytes(
                [draw.choice(b'0123456789.+-eE",:{}[] nul\\')]
            )
        if text.endswith(b"\n"):
            read += parse(bytes(text)) is not None
    assert 100 < read < 1900
