"""Rows in order and instants among them, against tuples that Python sorts and counts."""

import hypothesis
import hypothesis.strategies as st
import numpy as np

from components.ingest import ordering

# Keys that leave a time no bit to spare, times at both ends of int64, and those beside them.
EXTREMES = [
    st.tuples(st.integers(0, 3), st.integers(-5, 5)),
    st.tuples(st.sampled_from([0, 1, 2**31, 2**62 - 1, 2**63 - 1]), st.integers(-5, 5)),
    st.tuples(st.integers(0, 1), st.sampled_from([-(2**63), 1 - 2**63, -1, 0, 2**62, 2**63 - 1])),
    st.tuples(st.integers(-2, 1), st.integers(2**62 - 2, 2**62 + 2)),
    st.tuples(st.integers(2**20, 2**20 + 2), st.integers(2**42 - 2, 2**42 + 2)),
]


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(st.data(), st.sampled_from(EXTREMES))
def test_rows_are_ordered_as_tuples_are(data, pairs):
    rows = data.draw(st.lists(st.tuples(pairs, st.integers(0, 2), st.integers(0, 2)), max_size=20))
    columns = [[k, t, a, b] for (k, t), a, b in rows]
    keys, times, *then = np.array(columns, np.int64).reshape(-1, 4).T
    for more in ([], then[:1], then):
        expected = sorted(range(len(rows)), key=lambda i: (*columns[i][: 2 + len(more)], i))
        assert ordering.order_of(keys, times, *more).tolist() == expected
        if not more and keys.min(initial=0) >= 0:
            order = ordering.reorder(keys, times)
            assert (list(range(len(rows))) if order is None else order.tolist()) == expected


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(st.data(), st.sampled_from(EXTREMES))
def test_places_are_those_of_a_count(data, pairs):
    rows = sorted(data.draw(st.lists(pairs, max_size=20)))
    asked = data.draw(st.lists(pairs, max_size=20))
    columns = [np.array(side, np.int64).reshape(-1, 2).T for side in (rows, asked)]
    keys, times = columns[1]
    found, later = ordering.places(*columns[0], keys, times, np.minimum(times, 2**62) + 1)
    assert found.tolist() == [sum(row <= one for row in rows) for one in asked]
    next_ = [(key, min(time, 2**62) + 1) for key, time in asked]
    assert later.tolist() == [sum(row <= one for row in rows) for one in next_]


def test_rows_of_one_time_stay_in_order_however_many():
    random = np.random.default_rng(2)
    keys, times, late = random.integers(0, 20, (3, 5000))
    assert (ordering.order_of(keys, times) == np.lexsort((times, keys))).all()
    assert (ordering.reorder(keys, times) == np.lexsort((times, keys))).all()
    assert (ordering.order_of(keys, times, late) == np.lexsort((late, times, keys))).all()
