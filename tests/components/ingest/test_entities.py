"""Entities as codes, and the match by them, whatever the entities are."""

import bisect

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest

from components.ingest.entities import encode_entities
from components.point_in_time_join.asof import as_of

KINDS = {
    "close": (pa.int64(), st.integers(-3, 3)),
    "far": (pa.int64(), st.sampled_from([-(2**63), -1, 0, 10**12, 2**63 - 1])),
    "text": (pa.large_binary(), st.sampled_from([b"", b"7", b"m1", b"m10", b"m2", b"\xff"])),
}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(data=st.data())
def test_codes_are_the_ranks_of_entities(kind, missing, data):
    arrow, values = KINDS[kind]
    some = st.lists(values | st.none() if missing else values, max_size=12)
    columns = data.draw(st.lists(some, min_size=1, max_size=3))
    codes, count = encode_entities([pa.array(column, arrow) for column in columns])
    ranks = sorted({value for column in columns for value in column if value is not None})
    assert count == len(ranks)
    for column, found in zip(columns, codes, strict=True):
        expected = [-1 if value is None else ranks.index(value) for value in column]
        assert found.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(data=st.data())
def test_rows_match_by_entity_and_any_time(kind, data):
    arrow, entities = KINDS[kind]
    # From before the epoch to so late that an entity's code and a time need more than 63 bits.
    times = st.integers(-3, 3) | st.sampled_from([-(2**62), -(2**45), 2**45, 2**62])
    pairs = st.lists(st.tuples(entities, times), max_size=12)
    asked, rows = data.draw(pairs), data.draw(pairs)
    (entity, row_entity), _ = encode_entities(
        [pa.array([pair[0] for pair in side], arrow) for side in (asked, rows)]
    )
    time, row_time = (np.array([pair[1] for pair in side], np.int64) for side in (asked, rows))
    found = as_of(entity, time, row_entity, row_time).tolist()
    for (wanted, now), index in zip(asked, found, strict=True):
        seen = [(t, i) for i, (one, t) in enumerate(rows) if one == wanted and t <= now]
        assert index == max(seen, default=(0, -1))[1]


def test_many_rows_take_the_way_of_threads():
    random = np.random.default_rng(3)
    row_entity, entity = random.integers(0, 500, (2, 60_000))
    row_time, time = random.integers(-1000, 1000, (2, 60_000))
    found = as_of(entity, time, row_entity, row_time)
    order = np.lexsort((row_time, row_entity))
    keys = list(zip(row_entity[order].tolist(), row_time[order].tolist(), strict=True))
    for index in random.integers(0, len(time), 300).tolist():
        wanted = (int(entity[index]), int(time[index]))
        before = bisect.bisect_right(keys, wanted)
        match = before and keys[before - 1][0] == wanted[0]
        assert found[index] == (order[before - 1] if match else -1)
