"""Which examples each of several workers and devices trains with: each example once an epoch."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl import logging

from trainer.strategy import Placement

UNEVEN = 1.25
"""How much more than the mean a worker may have to read where whole files are shared out."""


@dataclasses.dataclass(frozen=True)
class Part:
    """What a worker reads of an epoch, and which of it its devices take.

    Attributes:
      files: that it reads.
      sizes: the rows of each batch that it cuts from them, int64 [steps].
      replicas: into how many slices each of those is cut.
      first: the first slice that its own devices take.
      own: how many those are.
    """

    files: list[str]
    sizes: npt.NDArray[np.int64]
    replicas: int
    first: int
    own: int


def part(count: int, size: int, placement: Placement, rows: Mapping[str, int]) -> Part:
    """A worker's part of an epoch.

    Whole files are shared out where that is even enough; a worker's batches then hold so many of
    its rows that it takes as many steps as the others. Else every worker reads all, and takes its
    rows of each batch: the batches are those of one process.

    Args:
      count: examples in an epoch.
      size: the batch of all workers together.
      placement: who trains.
      rows: how many each file has; empty for examples in memory.
    """
    steps = math.ceil(count / size)
    replicas = placement.replicas
    own = replicas // placement.workers
    shares = _shares(rows, placement.workers)
    held = [sum(rows[file] for file in share) for share in shares]
    if placement.workers > 1 and rows:
        even = min(held) >= steps and max(held) * len(held) <= UNEVEN * count
        logging.info(
            "%d files for %d workers, which would read %s of %d examples: %s",
            len(rows),
            placement.workers,
            ", ".join(map(str, held)),
            count,
            "each reads its own files"
            if even
            else "too few or too uneven to share out; each reads all and takes its rows",
        )
        if even:
            mine = placement.index
            ends = np.arange(steps + 1, dtype=np.int64) * held[mine] // steps
            return Part(shares[mine], np.diff(ends), own, 0, own)
    sizes = np.full(steps, size, np.int64)
    sizes[-1] = count - (steps - 1) * size
    return Part(list(rows), sizes, replicas, placement.index * own, own)


def distribute(dataset: tf.data.Dataset, part: Part, placement: Placement) -> Any:
    """The slices of each batch that this worker's devices take, as ``fit`` wants them.

    Args:
      dataset: of batches without an end, the same for all workers where they read all.
      part: the worker's.
      placement: who trains.

    Returns:
      The dataset itself where one device trains; else TensorFlow's for several.
    """

    def slices(*batch: Any) -> tf.data.Dataset:
        return tf.data.Dataset.range(part.first, part.first + part.own).map(
            lambda index: tf.nest.map_structure(
                lambda values: _slice(values, index, part.replicas), batch
            )
        )

    if placement.replicas > 1:
        dataset = dataset.flat_map(slices)
    # Else workers would ask each other before every step whether it is the last.
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    dataset = dataset.apply(endless).prefetch(2 * part.own)
    if placement.replicas == 1:
        return dataset
    return placement.strategy.distribute_datasets_from_function(lambda context: dataset)


def _slice(values: tf.Tensor, index: tf.Tensor, replicas: int) -> tf.Tensor:
    """Slice ``index`` of a batch; its size is known beforehand where the batch's is, for TPUs."""
    rows = values.shape[0]
    if rows is not None and rows % replicas == 0:
        each = rows // replicas
        begin = tf.concat([[index * each], tf.zeros(values.shape.rank - 1, tf.int64)], 0)
        return tf.slice(values, begin, [each, *values.shape[1:]])
    count = tf.shape(values, tf.int64)[0]
    return values[index * count // replicas : (index + 1) * count // replicas]


def _shares(rows: Mapping[str, int], workers: int) -> list[list[str]]:
    """Shares files out: the longest first, each to the worker that has least.

    That is Graham's (1969) rule for scheduling, at most a third above the best.
    """
    shares: list[list[str]] = [[] for _ in range(workers)]
    held = [0] * workers
    for file in sorted(rows, key=lambda file: (-rows[file], file)):
        least = held.index(min(held))
        shares[least].append(file)
        held[least] += rows[file]
    return shares
