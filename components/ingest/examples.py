"""Examples on disk: Arrow record batches to and from gzipped TFRecord files of tf.Examples.

Encoding and decoding take a column at a time, in Arrow and NumPy; Examples that are not alike are
decoded by tfx_bsl. TensorFlow is not imported.

============================  =========================================================
Arrow column                  tf.Example feature
============================  =========================================================
integers, boolean             int64 list of one; an unsigned value above int64 is an error
floats, decimal               float list of one, as float32; NaN is a missing value
string, binary, dictionary    bytes list of one, text as UTF-8
timestamp, date               int64 list of one: microseconds since the epoch
time, duration                int64 list of one: microseconds
list of any of these          list of its values; a null inside a list is an error
null in a row                 feature without values
============================  =========================================================
"""

import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest import example_decoder, example_encoder
from components.ingest.paths import is_remote, remote
from components.ingest.tfrecord import RecordWriter, read_records

_MANY = 256
"""From how many records on it pays to look for what they have in common."""


def shard_name(index: int, count: int) -> str:
    """The file name of shard ``index`` of ``count``: ``data_tfrecord-00000-of-00008.gz``."""
    return f"data_tfrecord-{index:05d}-of-{count:05d}.gz"


def split_folder(uri: str, split: str) -> str:
    """The folder of an Examples artifact's split."""
    return f"{uri.rstrip('/')}/Split-{split}"


def split_files(uri: str, split: str) -> list[str]:
    """The files of a split, sorted.

    Args:
      uri: an Examples artifact's ``uri``.
      split: the split's name, such as ``'train'``.

    Raises:
      FileNotFoundError: if there are none.
    """
    folder = split_folder(uri, split)
    if is_remote(folder):
        names = [f"{folder}/{name}" for name in remote().listdir(folder)]
    else:
        names = [str(path) for path in Path(folder).glob("*")]
    files = sorted(name for name in names if not name.rsplit("/", 1)[-1].startswith("."))
    if not files:
        raise FileNotFoundError(f"no example files in {folder}")
    return files


def encode(batch: pa.RecordBatch) -> list[bytes]:
    """Serializes rows as tf.Examples (see the module's table for types).

    Args:
      batch: n rows; names must differ.

    Returns:
      n serialized ``tf.Example`` protos, in order.

    Raises:
      ValueError: for a column that has no place in a tf.Example; the message names it.
    """
    return _serialize(batch).to_pylist()


class ShardWriter(RecordWriter):
    """Writes one file of tf.Examples; a context manager.

    Rows go to a temporary file beside ``path``, which takes its name on a clean exit and is removed
    on an error. A file without rows is valid too.

    Attributes:
      path: where the file will stand; gzip compressed if the name ends in ``.gz``.
      rows: how many rows have been written.
    """

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds a batch's rows; nulls are missing values.

        Raises:
          ValueError: for a column that has no place in a tf.Example; the message names it.
        """
        self.write_records(_serialize(batch))


def read_batches(files: Iterable[str], batch_rows: int = 65536) -> Iterator[pa.RecordBatch]:
    """Decodes files of tf.Examples.

    Args:
      files: TFRecord files; see ``split_files``.
      batch_rows: rows at most in a batch; batches run across files.

    Yields:
      Batches of ``large_list`` columns of int64, float32 or large_binary, sorted by name. A feature
      that no row of the batch has is of type null, or absent if the batch's rows don't name it:
      batches of one data set may differ in this (``read_table`` evens it out).
    """
    records = read_records(files)
    while chunk := list(itertools.islice(records, batch_rows)):
        yield decode(chunk)


def decode(records: Sequence[bytes]) -> pa.RecordBatch:
    """Decodes serialized tf.Examples; see ``read_batches`` for the columns."""
    if len(records) >= _MANY:
        lengths = np.fromiter(map(len, records), np.int64, len(records))
        alike = example_decoder.decode(b"".join(records), lengths)
        if alike is not None:
            return alike
    batch = _decoder().DecodeBatch(records)
    order = sorted(range(batch.num_columns), key=lambda i: batch.schema.names[i])
    return pa.RecordBatch.from_arrays(
        [batch.column(i) for i in order], names=[batch.schema.names[i] for i in order]
    )


def flatten(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Turns list columns with at most one value a row into plain columns with nulls.

    Returns:
      The same rows; int64, float32 or binary columns, null where a row has no value. Columns where
      some row has two or more values stay lists; null columns stay null.
    """
    return pa.RecordBatch.from_arrays(
        [_flatten(column) for column in batch.columns], names=batch.schema.names
    )


def read_table(files: Iterable[str], batch_rows: int = 65536) -> pa.Table:
    """Reads whole files into memory, flattened, with every column that any row has.

    Returns:
      A table; where one batch holds several values a row, that column is a list throughout. A
      column without any value is of type null.
    """
    batches = [flatten(batch) for batch in read_batches(files, batch_rows)]
    types: dict[str, pa.DataType] = {}
    for batch in batches:
        for field in batch.schema:
            known = types.get(field.name, pa.null())
            if pa.types.is_null(known) or pa.types.is_large_list(field.type):
                types[field.name] = field.type
    schema = pa.schema([pa.field(name, types[name]) for name in sorted(types)])
    return pa.Table.from_batches([_conform(batch, schema) for batch in batches], schema=schema)


def fill_examples_artifact(artifact: Any, splits: list[str]) -> None:
    """Sets what TFX's components want to know of an Examples artifact.

    Args:
      artifact: a ``tfx.types.standard_artifacts.Examples``.
      splits: names of its splits.
    """
    artifact.split_names = json.dumps(splits)
    artifact.set_int_custom_property("span", 0)
    artifact.set_int_custom_property("version", 0)
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    artifact.set_string_custom_property("file_format", "tfrecords_gzip")


def _serialize(batch: pa.RecordBatch) -> pa.LargeBinaryArray:
    if len(set(batch.schema.names)) < len(batch.schema.names):
        raise ValueError(f"column names must differ: {', '.join(batch.schema.names)}")
    columns = [
        _to_list(name, column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return example_encoder.encode(pa.RecordBatch.from_arrays(columns, names=batch.schema.names))


@functools.lru_cache(maxsize=1)
def _decoder() -> Any:
    from tfx_bsl.coders import example_coder

    return example_coder.ExamplesToRecordBatchDecoder()


def _to_list(name: str, column: pa.Array) -> pa.Array:
    """A column as lists of the three types that a tf.Example knows; null lists are missing."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = _to_feature(name, column.flatten())
        if values.null_count:
            raise ValueError(f"column {name!r}: a list holds a null, which tf.Example cannot")
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        return _lists(column.is_valid(), lengths, values)
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.large_list(pa.float32()))
    values = _to_feature(name, column)
    if not values.null_count:
        return pa.LargeListArray.from_arrays(pa.array(np.arange(len(values) + 1)), values)
    valid = values.is_valid()
    return _lists(valid, valid.to_numpy(zero_copy_only=False), values.drop_null())


def _lists(valid: pa.Array, lengths: np.ndarray, values: pa.Array) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    bitmap = valid.buffers()[1] if valid.offset == 0 else pa.array(valid.to_pylist()).buffers()[1]
    return pa.Array.from_buffers(
        pa.large_list(values.type),
        len(lengths),
        [bitmap, pa.py_buffer(offsets)],
        children=[values],
    )


def _to_feature(name: str, values: pa.Array) -> pa.Array:
    """Values as int64, float32 or binary."""
    kind = values.type
    try:
        if pa.types.is_dictionary(kind):
            values = values.dictionary_decode()
            kind = values.type
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return values.cast(pa.int64())
        if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
            floats = values.cast(pa.float32(), safe=False)
            return pc.if_else(pc.is_nan(floats), pa.scalar(None, pa.float32()), floats)
        if pa.types.is_string(kind) or pa.types.is_binary(kind):
            return values.cast(pa.binary())
        if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
            return values.cast(pa.large_binary())
        if pa.types.is_timestamp(kind):
            return values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        if pa.types.is_date(kind):
            return values.cast(pa.timestamp("us")).cast(pa.int64())
        if pa.types.is_time(kind):
            return values.cast(pa.time64("us"), safe=False).cast(pa.int64())
        if pa.types.is_duration(kind):
            return values.cast(pa.duration("us"), safe=False).cast(pa.int64())
        if pa.types.is_null(kind):
            return values.cast(pa.float32())
    except pa.ArrowInvalid as error:
        raise ValueError(f"column {name!r} of type {kind}: {error}") from error
    raise ValueError(f"column {name!r} of type {kind} has no place in a tf.Example")


def _flatten(column: pa.Array) -> pa.Array:
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return column
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    if len(lengths) and lengths.max() > 1:
        return column
    values = column.flatten()
    if pa.types.is_large_binary(values.type) and values.nbytes < 2**31:
        values = values.cast(pa.binary())
    if len(values) == len(column):
        return values
    present = lengths > 0
    index = pa.array(np.cumsum(present) - 1, mask=~present)
    return values.take(index)


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        position = batch.schema.get_field_index(field.name)
        column = None if position < 0 else batch.column(position)
        if column is None or pa.types.is_null(column.type):
            column = pa.nulls(batch.num_rows, field.type)
        elif pa.types.is_large_list(field.type) and not pa.types.is_large_list(column.type):
            column = _to_list(field.name, column)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
