"""Records read side by side: the same columns as tfx_bsl's decoder gives, or none."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest

from components.ingest import example_decoder, examples
from tests.components.ingest.test_example_encoder import batches

ROW = pa.RecordBatch.from_pydict(
    {
        "count": [5, None, -5, 2**40],
        "name": ["a", "b" * 200, None, ""],
        "share": pa.array([0.5, None, 1e30, -0.0], pa.float32()),
        "nothing": pa.nulls(4),
    }
)


def side_by_side(records: list[bytes]) -> pa.RecordBatch | None:
    return example_decoder.decode(b"".join(records), np.array([len(r) for r in records]))


def one_by_one(records: list[bytes]) -> pa.RecordBatch:
    assert len(records) < examples._MANY
    return examples.decode(records)


def test_records_that_are_alike_are_read():
    records = examples.encode(ROW)
    found = side_by_side(records)
    assert found is not None
    assert found.equals(one_by_one(records))


@hypothesis.settings(deadline=None)
@hypothesis.given(batches(rows=4))
def test_what_is_read_is_what_tfx_bsl_reads(batch):
    records = examples.encode(batch)
    found = side_by_side(records)
    assert found is None or found.equals(one_by_one(records))


@pytest.mark.parametrize(
    "others",
    [
        pa.RecordBatch.from_pydict({"count": [1]}),
        pa.RecordBatch.from_pydict({"count": [1], "name": ["a"], "share": [1.0], "other": [1]}),
        pa.RecordBatch.from_pydict(
            {"count": [1], "name": ["a"], "share": [1.0], "nothing": [1], "zzz": [1]}
        ),
        pa.RecordBatch.from_pydict(
            {"count": [[1, 2]], "name": ["a"], "share": [1.0], "nothing": pa.nulls(1)}
        ),
        pa.RecordBatch.from_pydict(
            {"count": [1], "name": [["a", "b"]], "share": [1.0], "nothing": pa.nulls(1)}
        ),
        pa.RecordBatch.from_pydict(
            {"count": [1], "name": ["a"], "share": [[1.0, 2.0]], "nothing": pa.nulls(1)}
        ),
        pa.RecordBatch.from_pydict(
            {"count": ["a"], "name": ["a"], "share": [1.0], "nothing": pa.nulls(1)}
        ),
    ],
)
def test_records_that_differ_are_not_read(others):
    assert side_by_side(examples.encode(ROW) + examples.encode(others)) is None


@hypothesis.given(st.data())
def test_broken_records_are_never_read_as_others(data):
    records = examples.encode(ROW)
    number = data.draw(st.integers(0, len(records) - 1))
    cut = data.draw(st.integers(0, len(records[number]) - 1))
    broken = [*records]
    broken[number] = records[number][:cut]
    assert side_by_side(broken) is None


@hypothesis.given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_no_bytes_make_it_fail(records):
    side_by_side(records)
