"""Transformed examples as training input: parsed once and held in memory while they fit there.

The order follows from seed and epoch alone: whoever goes on with a later epoch, and each of several
workers, sees the same batches. Rows are shuffled, weighed and copied a block of batches at a time:
tf.data's work for a batch of a few hundred rows costs more than the rows do.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer import features, sharing
from trainer.features import Config
from trainer.files import Files
from trainer.model import Target
from trainer.strategy import Placement

BLOCK = 64
"""Batches in a block. Streamed examples are shuffled within it; two blocks are in memory."""


@dataclasses.dataclass
class Examples:
    """A split's transformed examples.

    Attributes:
      held: the columns [n, width] by name, or None if they are above the limit. They are tensors of
        no graph: tf.data copies its graphs again and again, and would copy constants with them.
      labels: the label [n], float32 or int64.
      files: where they are read again; None where they are held.
      rows: how many each of the files has, empty where they are held.
    """

    held: dict[str, tf.Tensor] | None
    labels: np.ndarray
    files: Files | None = None
    rows: dict[str, int] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def training(self, config: Config, target: Target, placement: Placement, done: int = 0) -> Any:
        """The batches of one epoch after the other without an end, each in an order of its own.

        Args:
          config: batch size and seed.
          target: the label's measures.
          placement: who trains; a TPU takes whole batches only.
          done: how many batches are left out, since they were trained with before.

        Returns:
          What ``fit`` takes: (features, label [batch, 1], weight [batch]), this process's part.
        """
        size, whole = config.training.batch_size, placement.chosen == "tpu"
        part = sharing.part(len(self), size, placement, self.rows)
        sizes = part.sizes[part.sizes == size] if whole else part.sizes
        blocks = np.add.reduceat(sizes, np.arange(0, len(sizes), BLOCK))

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            key = tf.stack([tf.constant(config.training.seed, tf.int64), number])
            shuffled = (
                self._read(key, part.files, blocks)
                if self.held is None
                else _take(self.held, key, blocks)
            )
            runs = tf.data.Dataset.range(len(blocks)).map(
                lambda i: tf.constant(sizes)[i * BLOCK : (i + 1) * BLOCK]
            )
            weighed = shuffled.map(lambda columns: _weigh(config, target, columns))
            return tf.data.Dataset.zip((runs, weighed))

        dataset = tf.data.Dataset.counter(done // len(sizes)).flat_map(epoch)
        # A block is made while the batches of the one before are trained with.
        dataset = dataset.prefetch(1).flat_map(
            lambda run, block: tf.data.Dataset.from_tensors(block).rebatch(run)
        )
        dataset = dataset.skip(done % len(sizes))
        if whole:
            dataset = dataset.map(lambda *batch: _sized(batch, size))
        return sharing.distribute(dataset, part, placement)

    def batches(
        self,
        config: Config,
        target: Target,
        placement: Placement,
        batch_size: int,
        limit: int | None = None,
    ) -> tuple[Any, int]:
        """All examples, over and over in the same order; every worker reads all, takes its rows.

        Args:
          config: what is predicted.
          target: the label's measures.
          placement: who evaluates; a TPU takes batches of one size, somewhat smaller ones, and
            leaves out the few examples that these do not hold.
          batch_size: of all workers together.
          limit: how many batches at most; 0 or None means all.

        Returns:
          As ``training``, and how many batches are a pass.

        Raises:
          ValueError: if there are fewer examples than a TPU has replicas.
        """
        whole = placement.chosen == "tpu"
        steps = -(-len(self) // batch_size)
        if whole:
            batch_size = len(self) // steps // placement.replicas * placement.replicas
            if not batch_size:
                raise ValueError(
                    f"the eval split has {len(self)} examples, and the TPU {placement.replicas} "
                    "replicas, each of which takes one at least: look at split.eval"
                )
            steps = len(self) // batch_size
        steps = min(steps, limit or steps)
        if self.held is None:
            assert self.files is not None
            read = self.files.chunks(tf.constant(self.files.names))
            dataset = read.map(lambda _, columns: columns).rebatch(batch_size, whole)
        else:
            held = self.held
            order = tf.data.Dataset.range(len(self)).batch(batch_size, whole)
            dataset = order.map(lambda rows: _rows(held, rows))
        dataset = dataset.map(lambda columns: _weigh(config, target, columns)).take(steps).repeat()
        if whole:
            dataset = dataset.map(lambda *batch: _sized(batch, batch_size))
        everything = sharing.part(len(self), batch_size, placement, {})
        return sharing.distribute(dataset, everything, placement), steps

    def _read(
        self, key: tf.Tensor, files: list[str], blocks: npt.NDArray[np.int64]
    ) -> tf.data.Dataset:
        """Blocks of rows from files, these in another order each time."""
        assert self.files is not None

        def mixed(index: tf.Tensor, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            count = tf.shape(columns[features.LABEL])[0]
            seed = tf.random.experimental.stateless_fold_in(key, index)
            order = tf.random.experimental.stateless_shuffle(tf.range(count), seed)
            return _rows(columns, order)

        names = tf.random.experimental.stateless_shuffle(tf.constant(files), key)
        chunks = self.files.chunks(names).map(lambda _, columns: columns)
        return chunks.rebatch(blocks).enumerate().map(mixed)


def read(files: Files, config: Config, memory: int) -> Examples:
    """Reads a split.

    Args:
      files: the transformed examples'.
      config: names the label.
      memory: bytes up to which the columns are held; above, every epoch streams the files.

    Raises:
      ValueError: if an example has no label, or a binary one is neither 0 nor 1.
    """
    labels: list[np.ndarray] = [np.zeros(0, np.float32)]
    parts: dict[str, list[np.ndarray]] | None = {}
    rows = dict.fromkeys(files.names, 0)
    held = 0
    if files.names:
        for name, chunk in files.chunks(tf.constant(files.names)).as_numpy_iterator():
            label = chunk.pop(features.LABEL)[:, 0]
            labels.append(label)
            rows[name.decode()] += len(label)
            held += sum(values.nbytes for values in chunk.values())
            if held > memory:
                parts = None
            if parts is not None:
                for column, values in chunk.items():
                    parts.setdefault(column, []).append(values)
    label = np.concatenate(labels[1:] or labels)
    _check_labels(config, label)
    if parts is None:
        return Examples(None, label, files, rows)
    # A column's parts go when it is whole: no more than one column is there twice.
    parts[features.LABEL] = [label[:, np.newaxis]]
    whole = ((name, np.concatenate(parts.pop(name))) for name in list(parts))
    return Examples(_tensors(whole), label)


def hold(columns: Mapping[str, np.ndarray], config: Config) -> Examples:
    """Transformed columns [n, width] by name, the label's among them, as examples in memory.

    Raises:
      ValueError: as ``read``.
    """
    labels = columns[features.LABEL][:, 0]
    _check_labels(config, labels)
    return Examples(_tensors(columns.items()), labels)


def _tensors(columns: Iterable[tuple[str, np.ndarray]]) -> dict[str, tf.Tensor]:
    with tf.device("CPU:0"):
        return {name: tf.constant(values) for name, values in columns}


def _take(
    held: dict[str, tf.Tensor], key: tf.Tensor, blocks: npt.NDArray[np.int64]
) -> tf.data.Dataset:
    """Blocks of rows from memory."""
    ends = tf.constant(np.cumsum(blocks))
    count = len(held[features.LABEL])
    order = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
    starts = tf.data.Dataset.from_tensor_slices((ends - blocks, ends))
    return starts.map(lambda start, end: _rows(held, order[start:end]))


def _rows(columns: dict[str, tf.Tensor], rows: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.gather(values, rows) for name, values in columns.items()}


def _sized(batch: Any, size: int) -> Any:
    """The batch with its size known beforehand, which a TPU's programs have to."""
    return tf.nest.map_structure(lambda v: tf.ensure_shape(v, [size, *v.shape[1:]]), batch)


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
    config: Config, target: Target, columns: dict[str, tf.Tensor]
) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Parts features from the label and looks up its weight."""
    label = columns.pop(features.LABEL)
    if config.task == "regression":
        return columns, (label - target.mean) / target.scale, tf.ones_like(label[:, 0])
    index = tf.cast(label[:, 0], tf.int32)
    # A class that training never saw (-1) can't be learnt: it weighs nothing.
    weight = tf.gather(target.weights, tf.maximum(index, 0)) * tf.cast(index >= 0, tf.float32)
    return columns, tf.maximum(label, 0), weight
