"""The header that says what a request is about."""

import urllib.parse

import pyarrow as pa
import pytest

from serving.online.observation import observation

TIMES = [1744869600000000, 1744880400000000]


@pytest.mark.parametrize(
    ("entities", "told"),
    [([17, 18], ["17", "18"]), ([b"a&b=c", "ü".encode()], ["a&b=c", "ü"])],
)
def test_each_row_with_its_time(entities: list, told: list[str]) -> None:
    table = pa.table({"machine": entities, "at": TIMES, "load": [0.5, 0.6]})
    text = observation(table, "machine", "at")
    assert text.isascii() and " " not in text
    times = ["2025-04-17T06:00:00Z", "2025-04-17T09:00:00Z"]
    assert urllib.parse.parse_qs(text) == {"machine": told, "at": times}


def test_nothing_rather_than_a_header_that_is_refused() -> None:
    many = pa.table({"machine": list(range(200)), "at": [TIMES[0]] * 200})
    assert observation(many.slice(0, 50), "machine", "at")
    assert observation(many, "machine", "at") == ""
    assert observation(many.select(["machine"]), "machine", "at") == ""
