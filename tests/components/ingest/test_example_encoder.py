"""Serialized Examples: the very bytes that protobuf gives, feature by feature, sorted by name."""

import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import pytest

from components.ingest import examples

INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200)
VALUES = {
    "int": (pa.int64(), INTEGERS),
    "float": (pa.float32(), st.floats(width=32, allow_nan=False)),
    "bytes": (pa.binary(), st.binary(max_size=300)),
}

LISTS = {pa.int64(): "int64_list", pa.float32(): "float_list", pa.binary(): "bytes_list"}


@st.composite
def columns(draw, rows: int) -> pa.Array:
    """A column of one kind: plain values or lists, with and without nulls."""
    kind, values = VALUES[draw(st.sampled_from(sorted(VALUES)))]
    if draw(st.booleans()):
        kind, values = pa.list_(kind), st.lists(values, max_size=40)
    if draw(st.booleans()):
        values = st.none() | values
    return pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)


@st.composite
def batches(draw, rows: int | None = None) -> pa.RecordBatch:
    """Batches of columns under names of any length."""
    count = draw(st.integers(1, 5)) if rows is None else rows
    # tfx_bsl's decoder ends a name at its first NUL.
    letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    names = draw(st.lists(st.text(letters, max_size=200), max_size=4, unique=True))
    arrays = [draw(columns(count)) for _ in names]
    return pa.RecordBatch.from_arrays([*arrays, pa.nulls(count)], names=[*names, "none" * 100])


def serialized_one_by_one(batch: pa.RecordBatch) -> list[bytes]:
    import tensorflow as tf

    records = []
    for row in batch.to_pylist():
        features = b""
        for name, cell in sorted(row.items()):
            feature = tf.train.Feature()
            values = cell if isinstance(cell, list) or cell is None else [cell]
            kind = batch.schema.field(name).type
            kind = kind.value_type if pa.types.is_list(kind) else kind
            if values is not None:
                getattr(feature, LISTS[kind]).value.extend(values)
                getattr(feature, LISTS[kind]).SetInParent()
            # One at a time: protobuf's order of a map differs by its version.
            features += tf.train.Features(feature={name: feature}).SerializeToString()
        # An Example is a message of one field, as a list of one byte string is.
        records.append(tf.train.BytesList(value=[features]).SerializeToString())
    return records


@pytest.mark.tfx
@hypothesis.settings(deadline=None)
@hypothesis.given(batches())
def test_records_are_those_of_protobuf(batch):
    assert examples.encode(batch) == serialized_one_by_one(batch)


def test_the_order_of_columns_does_not_matter():
    names = ["b", "a", "ä", "z"]
    batch = pa.RecordBatch.from_arrays([pa.array([i, None]) for i in range(4)], names=names)
    turned = pa.RecordBatch.from_arrays(batch.columns[::-1], names=names[::-1])
    assert examples.encode(batch) == examples.encode(turned)


def test_rows_without_columns_are_examples_too():
    assert (
        examples.encode(pa.record_batch([pa.nulls(2)], names=["x"]))
        == [b"\n\x07\n\x05\n\x01x\x12\x00"] * 2
    )


def test_values_of_all_lengths_stand_beside_each_other():
    values = [b"x" * length for length in (0, 127, 128, 16_384, 70_000, 3_000_000)]
    records = examples.encode(pa.record_batch([pa.array(values)], names=["x"]))
    assert examples.flatten(examples.decode(records)).to_pydict() == {"x": values}
