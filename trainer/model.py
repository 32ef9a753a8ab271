"""The model: a small ensemble of multilayer perceptrons over encoded tabular features."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from trainer import features
from trainer.features import Config, Task
from trainer.layers import Bends, MemberDense
from trainer.waiting import InputClock

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
            shares = np.maximum(counts, 1) / counts.sum()
            weights = (1.0 / (shares * len(counts))).astype(np.float32)
        return cls(len(counts), weights, np.log(weights))


def build(config: Config, category_sizes: Sequence[int], target: Target) -> "Ensemble":
    """Builds and does not compile the model.

    Args:
      config: features and layers.
      category_sizes: how many indices each of the categorical, then the bucketized features has.
      target: the label's measures.

    Returns:
      A model from a dictionary of transformed features to every member's logits: float32
      [batch, members] for binary, [batch, members, classes] for multiclass; for regression the
      standardised label, [batch, members].
    """
    inputs: dict[str, Any] = {}
    first, *others = config.training.hidden_layers or (0,)
    units = target.classes if config.task == "multiclass" else 1
    width = first or units
    parts = []
    plain = []
    if config.numeric:
        count = len(config.numeric)
        for name in (features.NUMERIC, features.RANK, features.MISSING):
            inputs[name] = keras.Input((count,), name=name)
        plain += [inputs[features.NUMERIC], inputs[features.MISSING]]
        parts.append(Bends(width, name="bends")(inputs[features.RANK]))
    if category_sizes:
        index: Any = keras.Input((len(category_sizes),), dtype=tf.int64, name=features.CATEGORICAL)
        inputs[features.CATEGORICAL] = index
        plain += [_encode_category(index, i, size) for i, size in enumerate(category_sizes)]
    encoded = keras.layers.Concatenate(name="encoded")(plain) if len(plain) > 1 else plain[0]
    hidden = MemberDense(width, name="hidden_0")(encoded)
    for part in parts:
        hidden = hidden + part
    if first:
        hidden = _dropout(config, 0)(tf.nn.relu(hidden))
        for i, more in enumerate(others, 1):
            hidden = _dropout(config, i)(tf.nn.relu(MemberDense(more, name=f"hidden_{i}")(hidden)))
        hidden = MemberDense(units, name="logits", dtype="float32")(hidden)
    logits = tf.transpose(tf.cast(hidden, tf.float32), [1, 0, 2])
    return Ensemble(
        inputs, logits if config.task == "multiclass" else logits[:, :, 0], task=config.task
    )


def _dropout(config: Config, layer: int) -> keras.layers.Layer:
    return keras.layers.Dropout(config.training.dropout, name=f"dropout_{layer}")


def compile_model(
    model: "Ensemble", config: Config, steps: int, steps_per_execution: int = 1
) -> None:
    """Compiles it with the task's loss and metrics.

    Args:
      model: what ``build`` made.
      config: what to predict and how to train.
      steps: how many steps training takes at most; the learning rate falls to 0 over them.
      steps_per_execution: how many of them the devices take before this process looks.
    """
    rate = keras.optimizers.schedules.CosineDecay(
        config.training.scaled_learning_rate, max(steps, 1)
    )
    if config.task == "binary":
        metrics = [
            keras.metrics.AUC(name="auc"),
            keras.metrics.AUC(name="auc_precision_recall", curve="PR"),
        ]
    elif config.task == "multiclass":
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    else:
        metrics = [keras.metrics.MeanAbsoluteError(name="standardised_absolute_error")]
    model.compile(
        keras.optimizers.Adam(rate),
        LOSSES[config.task],
        metrics=metrics,
        weighted_metrics=[],
        jit_compile=config.training.xla,
        steps_per_execution=steps_per_execution,
    )


def _binary_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    labels = tf.broadcast_to(tf.cast(labels, logits.dtype), tf.shape(logits))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=1)


def _multiclass_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    labels = tf.broadcast_to(tf.cast(labels, tf.int64), tf.shape(logits)[:2])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses, axis=1)


def _regression_loss(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.square(outputs - labels), axis=1)


LOSSES = {"binary": _binary_loss, "multiclass": _multiclass_loss, "regression": _regression_loss}
"""By task, from labels [batch, 1] and every member's output to [batch]: members learn apart."""


def combine(task: Task, outputs: tf.Tensor, prior: np.ndarray | None = None) -> tf.Tensor:
    """The members' answer as one.

    Args:
      task: what is predicted.
      outputs: what the model returns.
      prior: ``Target.prior``, taken off the logits.

    Returns:
      Mean probability [batch, 1] or [batch, classes], or mean standardised label [batch, 1].
    """
    if task == "multiclass":
        return tf.reduce_mean(tf.nn.softmax(outputs if prior is None else outputs - prior), axis=1)
    if task == "binary":
        # Elkan (2001), "The foundations of cost-sensitive learning": weighting multiplies the
        # odds by the weights' ratio.
        outputs = tf.sigmoid(outputs if prior is None else outputs - float(prior[1] - prior[0]))
    return tf.reduce_mean(outputs, axis=1, keepdims=True)


def predictions(
    config: Config, target: Target, labels: Any, outputs: tf.Tensor
) -> Mapping[str, tf.Tensor]:
    """What a signature answers, from the model's output.

    Args:
      config: what is predicted.
      target: the label's measures.
      labels: for multiclass, the classes' names, string [classes].
      outputs: the model's.

    Returns:
      binary: ``probabilities`` float32 [batch] of the label being 1, ``classes`` int64 [batch],
      1 from a probability of 0.5 on. multiclass: ``probabilities`` float32 [batch, classes],
      ``classes`` string [batch], the likeliest, and ``all_classes`` string [batch, classes], whose
      probabilities stand there. regression: ``predictions`` float32 [batch].
    """
    combined = combine(config.task, outputs, target.prior)
    if config.task == "regression":
        return {"predictions": combined[:, 0] * target.scale + target.mean}
    if config.task == "binary":
        probabilities = combined[:, 0]
        return {
            "probabilities": probabilities,
            "classes": tf.cast(probabilities >= 0.5, tf.int64),
        }
    return {
        "probabilities": combined,
        "classes": tf.gather(labels, tf.argmax(combined, axis=1)),
        "all_classes": tf.tile(labels[tf.newaxis, :], [tf.shape(combined)[0], 1]),
    }


class Ensemble(keras.Model):
    """A functional model whose members learn apart and answer together.

    Its steps are not converted by AutoGraph: it would rewrite all of tf_keras, which costs half a
    minute and changes nothing.
    """

    train_function: Any
    train_tf_function: Any

    def __init__(self, inputs: Any, outputs: Any, task: Task) -> None:
        super().__init__(inputs, outputs)
        self.task: Task = task
        self.clock: InputClock | None = None

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        """Keras's, but batches are fetched before the step where a clock counts the wait."""
        if self.clock is None or (self.train_function is not None and not force):
            return super().make_train_function(force)
        clock, step = self.clock, super().make_train_function(force).python_function
        self.train_tf_function = None

        def train_function(iterator: Any) -> dict[str, tf.Tensor]:
            if self.train_tf_function is None:
                # For batches of any size, as the last one is smaller.
                self.train_tf_function = tf.function(
                    lambda batch: step(iter([batch])),
                    input_signature=[iterator.element_spec],
                    autograph=False,
                )
            return self.train_tf_function(clock.following(iterator))

        self.train_function = train_function
        return train_function

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's, but nothing is measured beside the loss: that took longer than learning."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        share = self._share(y)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True), weight) * share
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return {metric.name: metric.result() for metric in self.compiled_loss.metrics}

    def _share(self, y: tf.Tensor) -> Any:
        """What this replica's mean loss counts beside the others'.

        Keras gives each the same weight; in an epoch's last batch they may hold unequally many
        examples, and one process would weigh each example alike.
        """
        replicas = self.distribute_strategy.num_replicas_in_sync
        if replicas == 1:
            return 1.0
        rows = tf.cast(tf.shape(y)[0], tf.float32)
        context = tf.distribute.get_replica_context()
        return rows * replicas / context.all_reduce(tf.distribute.ReduceOp.SUM, rows)

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's, but the loss holds no penalty on weights: early stopping watches it."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        self.compiled_loss(y, y_pred, weight)
        return self.compute_metrics(x, y, combine(self.task, y_pred), weight)


def _encode_category(index: Any, position: int, size: int) -> Any:
    column = index[:, position]
    if size <= ONE_HOT_LIMIT:
        return tf.one_hot(column, size, dtype=keras.mixed_precision.global_policy().compute_dtype)
    # The rule of thumb of fastai's tabular models.
    width = min(64, math.ceil(1.6 * size**0.56))
    return keras.layers.Embedding(size, width, name=f"embedding_{position}")(column)
