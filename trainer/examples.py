"""Transformed examples as training input: parsed once and held in memory while they fit there."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging
from tfx_bsl.public import tfxio

from trainer import features
from trainer.features import Config
from trainer.model import Target
from trainer.strategy import Placement

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
      files: how many files there are.
    """

    source: Any
    held: dict[str, np.ndarray] | None
    labels: np.ndarray
    files: int

    def __len__(self) -> int:
        return len(self.labels)

    def training(
        self, config: Config, target: Target, placement: Placement, first: int, epochs: int
    ) -> tf.data.Dataset:
        """The batches of all epochs, one after the other, each in an order of its own.

        The order follows from seed and epoch: whoever goes on with a later epoch, and each of
        several workers, sees the same batches.

        Args:
          config: batch size and seed.
          target: the label's measures.
          placement: who trains; a TPU takes whole batches only.
          first: the epoch to begin with.
          epochs: the one to end before; streamed examples have no end.

        Returns:
          As ``batches``.
        """
        size, whole = config.training.batch_size, placement.chosen == "tpu"
        if self.held is None:
            # Without an end: workers whose files differ in rows take equally many steps.
            dataset = self.source(size, True, whole).repeat()
        else:
            columns = self._columns()
            seed = config.training.seed

            def epoch(number: tf.Tensor) -> tf.data.Dataset:
                order = tf.random.experimental.stateless_shuffle(
                    tf.range(len(self), dtype=tf.int64), [seed, number]
                )
                return tf.data.Dataset.from_tensor_slices(order).batch(size, drop_remainder=whole)

            dataset = tf.data.Dataset.range(first, epochs).flat_map(epoch)
            dataset = dataset.map(lambda rows: _take(columns, rows))
        return self._ready(dataset, config, target, placement)

    def batches(
        self, config: Config, target: Target, placement: Placement, batch_size: int
    ) -> tf.data.Dataset:
        """One pass over the examples as (features, label [batch, 1], weight [batch])."""
        if self.held is None:
            dataset = self.source(batch_size, False, False)
        else:
            columns = self._columns()
            order = tf.data.Dataset.range(len(self)).batch(batch_size)
            dataset = order.map(lambda rows: _take(columns, rows))
        return self._ready(dataset, config, target, placement)

    def _ready(
        self, dataset: tf.data.Dataset, config: Config, target: Target, placement: Placement
    ) -> tf.data.Dataset:
        dataset = dataset.map(lambda batch: _weigh(config, target, batch)).prefetch(2)
        return dataset.with_options(self._sharing(placement))

    def _columns(self) -> dict[str, tf.Tensor]:
        assert self.held is not None
        columns = {name: tf.constant(values) for name, values in self.held.items()}
        return columns | {features.LABEL: tf.constant(self.labels[:, np.newaxis])}

    def _sharing(self, placement: Placement) -> tf.data.Options:
        """How workers share the examples: whole files where these divide evenly, else rows."""
        policies = tf.data.experimental.AutoShardPolicy
        by_file = self.held is None and self.files % placement.workers == 0
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            policies.FILE if by_file else policies.DATA
        )
        if self.held is None and not by_file:
            logging.info(
                "%d files do not divide among %d workers: each reads all and takes its rows",
                self.files,
                placement.workers,
            )
        return options


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

    def source(batch_size: int, shuffle: bool, whole: bool) -> tf.data.Dataset:
        options = tfxio.TensorFlowDatasetOptions(
            batch_size=batch_size,
            num_epochs=1,
            shuffle=shuffle,
            shuffle_seed=config.training.seed,
            shuffle_buffer_size=batch_size * SHUFFLE_BATCHES,
            drop_final_batch=whole,
        )
        return accessor.tf_dataset_factory(list(files), options, schema)

    labels: list[np.ndarray] = []
    parts: dict[str, list[np.ndarray]] | None = {}
    held = 0
    for batch in _arrays(source(READ_BATCH, False, False)):
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
    count = sum(len(tf.io.gfile.glob(pattern)) for pattern in files)
    return Examples(source, columns, label, count)


def _take(columns: dict[str, tf.Tensor], rows: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.gather(values, rows) for name, values in columns.items()}


def hold(columns: Mapping[str, np.ndarray], config: Config) -> Examples:
    """Transformed columns [n, width] by name, the label's among them, as examples in memory.

    Raises:
      ValueError: as ``read``.
    """
    held = dict(columns)
    labels = held.pop(features.LABEL)[:, 0]
    _check_labels(config, labels)
    return Examples(None, held, labels, 0)


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
