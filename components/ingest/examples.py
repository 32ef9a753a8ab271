"""Examples on disk: Arrow record batches to and from gzipped TFRecord files of tf.Examples.

Encoding and decoding take a column at a time, in Arrow and NumPy; a few Examples, or such as are
not alike, are decoded by tfx_bsl. TensorFlow is not imported. Which column becomes which feature
stands in ``example_columns.py``.
"""

import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.ingest import example_decoder, example_encoder
from components.ingest.example_columns import flatten, to_list, to_lists
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
    return example_encoder.encode(to_lists(batch)).to_pylist()


class ShardWriter(RecordWriter):
    """Writes one file of tf.Examples; a context manager.

    It appears whole or not at all; one without rows is valid too.

    Attributes:
      path: where the file will stand; gzip compressed if the name ends in ``.gz``.
      rows: how many rows have been written.
    """

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds a batch's rows; nulls are missing values.

        Raises:
          ValueError: for a column that has no place in a tf.Example; the message names it.
        """
        self.write_records(example_encoder.encode(to_lists(batch)))


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


@functools.lru_cache(maxsize=1)
def _decoder() -> Any:
    from tfx_bsl.coders import example_coder

    return example_coder.ExamplesToRecordBatchDecoder()


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        position = batch.schema.get_field_index(field.name)
        column = None if position < 0 else batch.column(position)
        if column is None or pa.types.is_null(column.type):
            column = pa.nulls(batch.num_rows, field.type)
        elif pa.types.is_large_list(field.type) and not pa.types.is_large_list(column.type):
            column = to_list(field.name, column)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
