"""Examples for the training benchmark: 24 numbers, two categories and a rare label, transformed."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

NUMERIC = tuple(f"number_{i}" for i in range(24))
CATEGORIES = {"site": 20, "model": 200}
FILES = 8
ANALYZED = 4000
"""Rows that Transform looks at: it costs more than all of the others' transformation."""


def custom_config(**training: object) -> dict[str, Any]:
    """What Transform and Trainer are given."""
    features = {"numeric": NUMERIC, "categorical": {name: {} for name in CATEGORIES}}
    label = {"name": "fails", "task": "binary"}
    return {"config": {"label": label, "features": features, "training": training}}


def draw(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Raw columns [rows] by name."""
    random = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {
        name: random.normal(size=rows).astype(np.float32) for name in NUMERIC
    }
    columns |= {name: random.integers(0, size, rows) for name, size in CATEGORIES.items()}
    risk = columns[NUMERIC[0]] + columns[NUMERIC[1]] + random.normal(size=rows)
    return columns | {"fails": (risk > 2).astype(np.int64)}


def write(folder: Path, rows: int) -> None:
    """Writes ``graph``, what Transform makes, and ``train`` and ``eval``, transformed examples.

    Args:
      folder: where to.
      rows: of train.
    """
    import apache_beam as beam
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils

    from components.ingest.examples import ShardWriter, shard_name
    from trainer.preprocessing import preprocessing_fn

    columns = draw(ANALYZED, 0)
    spec = {
        name: tf.io.FixedLenFeature([], tf.as_dtype(values.dtype))
        for name, values in columns.items()
    }
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    raw = [{name: values[i].item() for name, values in columns.items()} for i in range(ANALYZED)]
    transform = functools.partial(preprocessing_fn, custom_config=custom_config())
    with (
        beam.Pipeline(runner="FnApiRunner") as pipeline,
        tft_beam.Context(temp_dir=str(folder / "scratch")),
    ):
        data = (pipeline | beam.Create(raw), metadata)
        _, made = data | tft_beam.AnalyzeAndTransformDataset(transform)
        made | tft_beam.WriteTransformFn(str(folder / "graph"))
    raw_metadata = tft.TFTransformOutput.RAW_METADATA_DIR
    metadata_io.write_metadata(metadata, str(folder / "graph" / raw_metadata))
    layer = tft.TFTransformOutput(str(folder / "graph")).transform_features_layer()
    for split, count in (("train", rows), ("eval", rows // 20)):
        for shard in range(FILES):
            drawn = draw(count // FILES, 1 + shard + FILES * (split == "eval"))
            transformed = layer({name: tf.constant(values) for name, values in drawn.items()})
            lists = {name: _lists(values.numpy()) for name, values in transformed.items()}
            with ShardWriter(str(folder / split / shard_name(shard, FILES))) as writer:
                writer.write(pa.RecordBatch.from_pydict(lists))


def _lists(values: np.ndarray) -> pa.Array:
    rows, width = values.shape
    offsets = pa.array(np.arange(rows + 1) * width, pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()))
