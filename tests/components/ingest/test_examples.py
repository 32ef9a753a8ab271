"""Examples on disk: what is written is what is read, and never half of it."""

import datetime
import decimal
import gzip
import zlib
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import pytest

from components.ingest import example_columns, examples, tfrecord
from tests.components.ingest.test_example_encoder import batches

BATCH = pa.RecordBatch.from_pydict(
    {
        "count": pa.array([1, None, -3], pa.int32()),
        "share": pa.array([1.5, float("nan"), None], pa.float64()),
        "name": pa.array(["a", None, "ü"]),
        "raw": pa.array([b"\xff", b"", None]),
        "flag": pa.array([True, False, None]),
        "tags": pa.array([["x", "y"], None, []], pa.list_(pa.string())),
        "price": pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("-2")]),
        "model": pa.array(["m1", "m2", None]).dictionary_encode(),
        "when": pa.array([datetime.datetime(2020, 1, 1), None, datetime.datetime(1969, 12, 31)]),
        "day": pa.array([datetime.date(1970, 1, 2), None, None]),
        "shift": pa.array([datetime.time(1, 0), None, None]),
        "lasted": pa.array([datetime.timedelta(seconds=2), None, None]),
        "nothing": pa.nulls(3),
    }
)
READ = {
    "count": [1, None, -3],
    "share": [1.5, None, None],
    "name": [b"a", None, "ü".encode()],
    "raw": [b"\xff", b"", None],
    "flag": [1, 0, None],
    "tags": [[b"x", b"y"], None, None],
    "price": [1.25, None, -2.0],
    "model": [b"m1", b"m2", None],
    "when": [1577836800000000, None, -86400000000],
    "day": [86400000000, None, None],
    "shift": [3600000000, None, None],
    "lasted": [2000000, None, None],
    "nothing": [None, None, None],
}


def as_read(table) -> dict:
    return {
        name: [None if value == [] else value for value in values]
        for name, values in table.to_pydict().items()
    }


def table(batch, names) -> pa.Table:
    return pa.Table.from_batches([batch]).select(names)


def write(path, *batches) -> str:
    with examples.ShardWriter(str(path)) as writer:
        for batch in batches:
            writer.write(batch)
    return str(path)


@pytest.mark.parametrize("name", ["shard.gz", "shard"])
def test_written_rows_are_read_again(tmp_path, name):
    path = write(tmp_path / name, BATCH)
    assert as_read(examples.read_table([path])) == READ


def test_slices_keep_their_rows(tmp_path):
    path = write(tmp_path / "a.gz", BATCH.slice(1, 2), BATCH.slice(0, 1), BATCH.slice(0, 0))
    expected = {name: [values[i] for i in (1, 2, 0)] for name, values in READ.items()}
    assert as_read(examples.read_table([path], batch_rows=2)) == expected


def test_every_batch_size_gives_the_same_table(tmp_path):
    path = write(tmp_path / "a.gz", BATCH, BATCH)
    tables = [examples.read_table([path], batch_rows=size) for size in (1, 2, 4, 100)]
    assert [as_read(table) for table in tables] == [as_read(tables[0])] * 4
    assert {str(table.schema.field("tags").type) for table in tables} == {
        "large_list<item: large_binary>"
    }


def test_a_file_may_be_empty(tmp_path):
    path = write(tmp_path / "Split-all" / examples.shard_name(0, 1))
    assert list(examples.read_batches([path])) == []
    assert examples.read_table([path]).num_rows == 0
    assert examples.split_files(str(tmp_path), "all") == [path]


def test_the_same_rows_are_the_same_bytes(tmp_path):
    paths = [write(tmp_path / name, BATCH, BATCH) for name in ("a.gz", "b.gz")]
    assert len({Path(path).read_bytes() for path in paths}) == 1


@pytest.mark.parametrize("rows", [1, 400])
def test_columns_are_told_as_they_would_be_read(tmp_path, rows):
    batch = BATCH.take(pa.array([i % 3 for i in range(rows)]))
    (read,) = examples.read_batches([write(tmp_path / "a.gz", batch)])
    told = example_columns.as_read(batch)
    assert as_read(told) == {name: as_read(examples.flatten(read))[name] for name in READ}
    plain = [name for name in READ if name != "tags"]
    assert table(told, plain).equals(table(examples.flatten(read), plain))


@hypothesis.settings(deadline=None)
@hypothesis.given(batches())
def test_any_columns_are_told_as_they_would_be_read(batch):
    read = examples.flatten(examples.decode(examples.encode(batch)))
    told = example_columns.as_read(batch)
    assert told.to_pydict() == {name: read.to_pydict()[name] for name in told.schema.names}
    assert {
        name for name in read.schema.names if pa.types.is_null(read.schema.field(name).type)
    } == {name for name in told.schema.names if pa.types.is_null(told.schema.field(name).type)}


def test_nothing_is_left_after_an_error(tmp_path):
    with (
        pytest.raises(RuntimeError, match="cut"),
        examples.ShardWriter(str(tmp_path / "a.gz")) as writer,
    ):
        writer.write(BATCH)
        assert not (tmp_path / "a.gz").exists()
        raise RuntimeError("cut")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([2**63], pa.uint64()), "'x' of type uint64"),
        (pa.array([[1, None]]), "'x': a list holds a null"),
        (pa.array([{"a": 1}]), "'x' of type struct<a: int64> has no place"),
        (pa.array([[[1]]]), "'x' of type list<item: int64> has no place"),
    ],
)
def test_what_an_example_cannot_hold_is_named(column, message):
    with pytest.raises(ValueError, match=message):
        examples.encode(pa.RecordBatch.from_arrays([column], names=["x"]))


def test_two_columns_of_one_name_are_refused():
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(ValueError, match="must differ"):
        examples.encode(batch)


def test_missing_splits_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Split-eval"):
        examples.split_files(str(tmp_path), "eval")


@hypothesis.given(st.lists(st.binary(max_size=300), max_size=50))
def test_any_records_survive(tmp_path_factory, records):
    path = str(tmp_path_factory.mktemp("records") / "a.gz")
    with tfrecord.RecordWriter(path) as writer:
        writer.write_records(records)
    assert list(tfrecord.read_records([path])) == records


def test_records_longer_than_a_read_survive(tmp_path):
    path = str(tmp_path / "a.gz")
    records = [b"x" * 3_000_000, b"", b"y" * 1_500_000]
    with tfrecord.RecordWriter(path) as writer:
        writer.write_records(records)
    assert list(tfrecord.read_records([path])) == records


@pytest.mark.parametrize("place", [0, 5, 20, -1])
def test_damage_is_seen(tmp_path, place):
    data = bytearray(gzip.decompress((write_bytes(tmp_path)).read_bytes()))
    data[place] ^= 1
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged|cut short"):
        list(tfrecord.read_records([str(path)]))


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_cut_file_is_seen(tmp_path, kept):
    path = write_bytes(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ValueError, match="damaged"):
        list(tfrecord.read_records([str(path)]))


def write_bytes(folder):
    path = folder / "whole.gz"
    with tfrecord.RecordWriter(str(path)) as writer:
        writer.write_records([bytes([i]) * 30 for i in range(100)])
    return path


def test_joined_files_are_one_file(tmp_path):
    # Gzip members and TFRecords may follow one another: what the commit of a split shard relies on.
    whole = write_bytes(tmp_path).read_bytes()
    both = tmp_path / "both.gz"
    both.write_bytes(whole + whole)
    assert len(list(tfrecord.read_records([str(both)]))) == 200
    assert zlib.decompress(whole, wbits=31)


@pytest.mark.tfx
def test_tensorflow_reads_the_files(tmp_path):
    import tensorflow as tf

    path = write(tmp_path / "a.gz", BATCH)
    records = list(tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator())
    parsed = [tf.train.Example.FromString(record) for record in records]
    assert [list(p.features.feature["count"].int64_list.value) for p in parsed] == [[1], [], [-3]]
    assert list(parsed[0].features.feature["tags"].bytes_list.value) == [b"x", b"y"]
    assert parsed[1].features.feature["share"].WhichOneof("kind") is None


MANY = pa.RecordBatch.from_pydict(
    {
        "count": [None if i % 5 == 0 else (-1) ** i * 7**i % 2**40 for i in range(1000)],
        "share": [None if i % 7 == 0 else i / 4 for i in range(1000)],
        "name": [None if i % 3 == 0 else "ü" * (i % 100) for i in range(1000)],
    }
)
"""Rows whose records are of many lengths, above 127 bytes too."""


@pytest.mark.tfx
def test_tensorflow_parses_the_examples(tmp_path):
    import tensorflow as tf

    path = write(tmp_path / "a.gz", MANY)
    missing = {"count": -1, "share": -1.0, "name": "none"}
    types = {"count": tf.int64, "share": tf.float32, "name": tf.string}
    spec = {name: tf.io.FixedLenFeature([], types[name], missing[name]) for name in types}
    data = tf.data.TFRecordDataset(path, "GZIP").batch(1000)
    parsed = tf.io.parse_example(data.get_single_element(), spec)
    for name, column in zip(MANY.schema.names, MANY.columns, strict=True):
        filled = [missing[name] if value is None else value for value in column.to_pylist()]
        expected = [value.encode() if name == "name" else value for value in filled]
        assert parsed[name].numpy().tolist() == expected


@pytest.mark.tfx
def test_tfx_reads_the_files(tmp_path):
    import tensorflow_data_validation as tfdv
    from tfx_bsl.public import tfxio

    path = write(tmp_path / "a.gz", MANY)
    schema = tfdv.infer_schema(tfdv.generate_statistics_from_tfrecord(path))
    reader = tfxio.TFExampleRecord(path, schema=schema, telemetry_descriptors=["test"])
    options = tfxio.RecordBatchesOptions(batch_size=1000, num_epochs=1, shuffle=False)
    (read,) = reader.RecordBatches(options)
    told = example_columns.as_read(MANY)
    names = MANY.schema.names
    assert table(examples.flatten(read), names).equals(table(told, names))


@pytest.mark.tfx
def test_tfx_knows_the_artifact(tmp_path):
    from tfx.components.util import examples_utils
    from tfx.proto import example_gen_pb2
    from tfx.types import artifact_utils, standard_artifacts

    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path)
    examples.fill_examples_artifact(artifact, ["train", "eval"])
    assert artifact_utils.decode_split_names(artifact.split_names) == ["train", "eval"]
    assert examples_utils.get_payload_format(artifact) == example_gen_pb2.FORMAT_TF_EXAMPLE
    assert examples_utils.get_file_format(artifact) == "tfrecords_gzip"
