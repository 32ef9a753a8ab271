"""The model: a multilayer perceptron over encoded tabular features, with a linear shortcut."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from trainer import features
from trainer.features import Config, Task

BINS = 16
"""Pieces of the piecewise-linear encoding of a numeric feature."""
ONE_HOT_LIMIT = 32
"""Categories up to which an index is one-hot; above, it is embedded."""


@dataclasses.dataclass(frozen=True)
class Target:
    """What training data tells of the label.

    Attributes:
      classes: number of classes; 2 for binary, 0 for regression.
      weights: float32 [classes], the weight of an example by class; empty for regression.
      mean: of a regression label.
      scale: standard deviation of a regression label, 1 if it is constant.
      prior: float32 [classes], log of how much weighting raises a class; taken off the logits
        when predicting, so that probabilities stay calibrated.
    """

    classes: int
    weights: np.ndarray
    prior: np.ndarray
    mean: float = 0.0
    scale: float = 1.0

    @classmethod
    def measure(cls, task: Task, labels: np.ndarray, classes: int, balanced: bool) -> "Target":
        """Measures the training labels.

        Args:
          task: what kind of prediction it is.
          labels: [n], class indices or numbers.
          classes: number of classes, for multiclass.
          balanced: whether rare classes weigh more.

        Raises:
          ValueError: if a classification's labels hold one class only.
        """
        if task == "regression":
            scale = float(np.std(labels, dtype=np.float64)) or 1.0
            none = np.zeros(0, np.float32)
            return cls(0, none, none, float(np.mean(labels, dtype=np.float64)), scale)
        counts = np.bincount(labels.astype(np.int64), minlength=max(classes, 2))
        if np.count_nonzero(counts) < 2:
            raise ValueError(
                f"all {len(labels)} training examples are of one class: nothing can be learnt. "
                "Take a longer split.train, a wider horizon, or check the label's query"
            )
        weights = np.ones(len(counts), np.float32)
        if balanced:
            # Square root of the inverse frequency: full balancing makes training of a rare class
            # jumpy and measured no better (docs/decisions/007-model.md).
            shares = np.maximum(counts, 1) / counts.sum()
            weights = np.sqrt(1.0 / shares).astype(np.float32)
            weights /= np.float32((weights * shares).sum())
        return cls(len(counts), weights, np.log(weights))


def build(config: Config, category_sizes: Sequence[int], target: Target) -> keras.Model:
    """Builds and does not compile the model.

    Args:
      config: features and layers.
      category_sizes: how many indices each of the categorical, then the bucketized features has.
      target: the label's measures.

    Returns:
      A model from a dictionary of transformed features to logits float32 [batch, 1] (binary),
      [batch, classes] (multiclass), or to the standardised label [batch, 1] (regression).
    """
    inputs: dict[str, Any] = {}
    encoded = []
    if config.numeric:
        count = len(config.numeric)
        for name in (features.NUMERIC, features.RANK, features.MISSING):
            inputs[name] = keras.Input((count,), name=name)
        encoded += [inputs[features.NUMERIC], inputs[features.MISSING]]
        encoded.append(PiecewiseLinear(BINS, name="pieces")(inputs[features.RANK]))
    if category_sizes:
        index = keras.Input((len(category_sizes),), dtype=tf.int64, name=features.CATEGORICAL)
        inputs[features.CATEGORICAL] = index
        encoded += [_encode_category(index, i, size) for i, size in enumerate(category_sizes)]
    wide = keras.layers.Concatenate(name="encoded")(encoded) if len(encoded) > 1 else encoded[0]
    deep = wide
    for i, units in enumerate(config.training.hidden_layers):
        deep = keras.layers.Dense(units, activation="relu", name=f"hidden_{i}")(deep)
        deep = keras.layers.Dropout(
            config.training.dropout, seed=config.training.seed + i, name=f"dropout_{i}"
        )(deep)
    units = target.classes if config.task == "multiclass" else 1
    output = keras.layers.Dense(units, name="deep", dtype="float32")(deep)
    shortcut = keras.layers.Dense(
        units, use_bias=False, kernel_initializer="zeros", name="wide", dtype="float32"
    )(wide)
    return keras.Model(inputs, keras.layers.Add(name="logits", dtype="float32")([output, shortcut]))


def compile_model(model: keras.Model, config: Config, steps: int) -> None:
    """Compiles it with the task's loss and metrics.

    Args:
      model: what ``build`` made.
      config: what to predict and how to train.
      steps: how many steps training takes at most; the learning rate falls to 0 over them.
    """
    rate = keras.optimizers.schedules.CosineDecay(config.training.learning_rate, max(steps, 1))
    loss: keras.losses.Loss
    weighted: list[keras.metrics.Metric] = []
    if config.task == "binary":
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        metrics = [
            keras.metrics.AUC(name="auc", from_logits=True),
            keras.metrics.AUC(name="auc_precision_recall", curve="PR", from_logits=True),
        ]
    elif config.task == "multiclass":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    else:
        loss = keras.losses.MeanSquaredError()
        metrics = [keras.metrics.MeanAbsoluteError(name="standardised_absolute_error")]
    model.compile(keras.optimizers.Adam(rate), loss, metrics=metrics, weighted_metrics=weighted)


def predictions(
    config: Config, target: Target, labels: tf.Tensor | None, logits: tf.Tensor
) -> Mapping[str, tf.Tensor]:
    """What a signature answers, from the model's output.

    Args:
      config: what is predicted.
      target: the label's measures.
      labels: for multiclass, the classes' names, string [classes].
      logits: the model's output.

    Returns:
      binary: ``probabilities`` float32 [batch] of the label being 1, ``classes`` int64 [batch],
      1 from a probability of 0.5 on. multiclass: ``probabilities`` float32 [batch, classes],
      ``classes`` string [batch], the likeliest, and ``all_classes`` string [batch, classes], whose
      probabilities stand there. regression: ``predictions`` float32 [batch].
    """
    if config.task == "regression":
        return {"predictions": logits[:, 0] * target.scale + target.mean}
    if config.task == "binary":
        # Elkan (2001), "The foundations of cost-sensitive learning": weighting multiplies the
        # odds by the weights' ratio.
        probabilities = tf.sigmoid(logits[:, 0] - float(target.prior[1] - target.prior[0]))
        return {
            "probabilities": probabilities,
            "classes": tf.cast(probabilities >= 0.5, tf.int64),
        }
    probabilities = tf.nn.softmax(logits - target.prior)
    return {
        "probabilities": probabilities,
        "classes": tf.gather(labels, tf.argmax(probabilities, axis=1)),
        "all_classes": tf.tile(labels[tf.newaxis, :], [tf.shape(logits)[0], 1]),
    }


@keras.utils.register_keras_serializable("trainer")
class PiecewiseLinear(keras.layers.Layer):
    """Spreads numbers from 0 to 1 over bins that fill up one after the other.

    Piecewise-linear encoding of Gorishniy et al. (2022), "On embeddings for numerical features in
    tabular deep learning": on quantile ranks its bins are the quantiles. It lets the first layer
    bend at thresholds, as trees do. [batch, n] to [batch, n * bins].
    """

    def __init__(self, bins: int, **options: object) -> None:
        super().__init__(**options)
        self.bins = bins

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Encodes ``inputs``."""
        starts = tf.range(self.bins, dtype=inputs.dtype)
        pieces = tf.clip_by_value(inputs[:, :, tf.newaxis] * self.bins - starts, 0, 1)
        return tf.reshape(pieces, [-1, inputs.shape[1] * self.bins])

    def get_config(self) -> dict[str, object]:
        """The layer's arguments."""
        return {**super().get_config(), "bins": self.bins}


def _encode_category(index: Any, position: int, size: int) -> Any:
    column = index[:, position]
    if size <= ONE_HOT_LIMIT:
        return tf.one_hot(column, size, dtype=keras.mixed_precision.global_policy().compute_dtype)
    # The rule of thumb of fastai's tabular models.
    width = min(64, math.ceil(1.6 * size**0.56))
    return keras.layers.Embedding(size, width, name=f"embedding_{position}")(column)
