"""Transformed examples as training input: parsed once and held in memory while they fit there."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tfx_bsl.public import tfxio

from trainer import features
from trainer.features import Config
from trainer.model import Target

READ_BATCH = 4096
SHUFFLE_BATCHES = 64
"""Batches that the shuffle buffer holds when examples are streamed."""


@dataclasses.dataclass
class Examples:
    """A split's transformed examples.

    Attributes:
      source: opens the files, batched; every call reads them anew.
      held: the columns [n, width] by name, label aside, or None if they are above the limit.
      labels: the label [n], float32 or int64.
    """

    source: Any
    held: dict[str, np.ndarray] | None
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, config: Config, target: Target, shuffle: bool, batch_size: int
    ) -> tf.data.Dataset:
        """One pass over the examples as (features, label [batch, 1], weight [batch])."""
        if self.held is None:
            dataset = self.source(batch_size, shuffle)
        else:
            columns = {name: tf.constant(values) for name, values in self.held.items()}
            columns[features.LABEL] = tf.constant(self.labels[:, np.newaxis])
            order = tf.data.Dataset.range(len(self))
            if shuffle:
                order = order.shuffle(len(self), seed=config.training.seed)
            dataset = order.batch(batch_size).map(
                lambda rows: {name: tf.gather(values, rows) for name, values in columns.items()}
            )
        return dataset.map(lambda batch: _weigh(config, target, batch)).prefetch(2)


def read(files: Sequence[str], accessor: Any, schema: Any, config: Config, memory: int) -> Examples:
    """Reads a split.

    Args:
      files: patterns of the transformed examples' files.
      accessor: the component's data accessor.
      schema: of the transformed examples.
      config: names the label and the seed.
      memory: bytes up to which the columns are held; above, every epoch streams the files.

    Raises:
      ValueError: if an example has no label, or a binary one is neither 0 nor 1.
    """

    def source(batch_size: int, shuffle: bool) -> tf.data.Dataset:
        options = tfxio.TensorFlowDatasetOptions(
            batch_size=batch_size,
            num_epochs=1,
            shuffle=shuffle,
            shuffle_seed=config.training.seed,
            shuffle_buffer_size=batch_size * SHUFFLE_BATCHES,
        )
        return accessor.tf_dataset_factory(list(files), options, schema)

    labels: list[np.ndarray] = []
    parts: dict[str, list[np.ndarray]] | None = {}
    held = 0
    for batch in _arrays(source(READ_BATCH, False)):
        labels.append(batch.pop(features.LABEL)[:, 0])
        held += sum(values.nbytes for values in batch.values())
        if held > memory:
            parts = None
        if parts is not None:
            for name, values in batch.items():
                parts.setdefault(name, []).append(values)
    label = np.concatenate(labels) if labels else np.zeros(0, np.float32)
    _check_labels(config, label)
    columns = None
    if parts is not None:
        columns = {name: np.concatenate(values) for name, values in parts.items()}
    return Examples(source, columns, label)


def _arrays(dataset: tf.data.Dataset) -> Iterator[dict[str, np.ndarray]]:
    for batch in dataset:
        yield {name: values.numpy() for name, values in batch.items()}


def _check_labels(config: Config, labels: np.ndarray) -> None:
    if config.task == "multiclass":
        return
    missing = int(np.isnan(labels).sum())
    if missing:
        raise ValueError(
            f"label {config.label!r} is missing in {missing} of {len(labels)} examples"
        )
    if config.task == "binary":
        other = labels[(labels != 0) & (labels != 1)]
        if len(other):
            raise ValueError(
                f"label {config.label!r} is {other[0]:g} in an example: a binary label is 0 or 1"
            )


def _weigh(
    config: Config, target: Target, batch: dict[str, tf.Tensor]
) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Parts features from the label and looks up its weight."""
    label = batch.pop(features.LABEL)
    if config.task == "regression":
        return batch, (label - target.mean) / target.scale, tf.ones_like(label[:, 0])
    index = tf.cast(label[:, 0], tf.int32)
    # A class that training never saw (-1) can't be learnt: it weighs nothing.
    weight = tf.gather(target.weights, tf.maximum(index, 0)) * tf.cast(index >= 0, tf.float32)
    return batch, tf.maximum(label, 0), weight
