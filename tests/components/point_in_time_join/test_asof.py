"""The as-of match against a reference that looks at every row for every observation."""

import hypothesis
import hypothesis.strategies as st
import numpy as np

from components.point_in_time_join.asof import as_of

# Few entities and few instants: ties and late rows are then common.
ENTITY = st.integers(0, 3)
TIME = st.integers(-6, 12)


def slow_as_of(entity, time, row_entity, row_time, row_known, tolerance):
    found = []
    for one, now in zip(entity, time, strict=True):
        best, winner = None, -1
        for index, (of, happened) in enumerate(zip(row_entity, row_time, strict=True)):
            known = happened if row_known is None else row_known[index]
            if of == one and happened <= now and known <= now:
                rank = (happened, known, index)
                if best is None or rank > best:
                    best, winner = rank, index
        if winner >= 0 and tolerance is not None and now - row_time[winner] > tolerance:
            winner = -1
        found.append(winner)
    return found


@hypothesis.settings(max_examples=500, deadline=None)
@hypothesis.given(
    st.lists(st.tuples(ENTITY, TIME), max_size=15),
    st.lists(st.tuples(ENTITY, TIME, TIME), max_size=25),
    st.booleans(),
    st.none() | st.integers(0, 8),
)
def test_the_latest_known_row_is_found(observations, rows, with_known, tolerance):
    entity, time = np.array(observations, np.int64).reshape(-1, 2).T
    row_entity, row_time, row_known = np.array(rows, np.int64).reshape(-1, 3).T
    known = row_known if with_known else None
    fast = as_of(entity, time, row_entity, row_time, known, tolerance)
    slow = slow_as_of(entity, time, row_entity, row_time, known, tolerance)
    assert fast.tolist() == slow


def test_many_entities_and_late_rows():
    generator = np.random.default_rng(5)
    row_entity = generator.integers(0, 200, 3000)
    row_time = generator.integers(0, 10_000, 3000)
    row_known = row_time + generator.integers(0, 2_000, 3000)
    entity = generator.integers(0, 220, 400)
    time = generator.integers(0, 12_000, 400)
    fast = as_of(entity, time, row_entity, row_time, row_known, 3_000)
    assert fast.tolist() == slow_as_of(entity, time, row_entity, row_time, row_known, 3_000)
    assert (fast >= 0).any()
    assert (fast < 0).any()


def test_a_row_that_came_late_does_not_hide_a_newer_one_that_came_early():
    # Happened at 1, known at 9; happened at 5, known at 6: at 10 the one of 5 is the newer.
    found = as_of(*map(np.array, ([0, 0, 0], [5, 8, 10], [0, 0], [1, 5], [9, 6])))
    assert found.tolist() == [-1, 1, 1]


def test_no_rows_and_no_observations():
    nothing = np.array([], np.int64)
    one = np.array([0], np.int64)
    assert as_of(one, one, nothing, nothing, nothing).tolist() == [-1]
    assert as_of(nothing, nothing, one, one).tolist() == []
