"""The layers that make the model more than a plain network."""

import tensorflow as tf
import tf_keras as keras

MEMBERS = 8
"""Networks that are trained side by side and answer with their mean."""
PIECES = 16
"""Of the piecewise-linear encoding of a numeric feature."""
BEND_PENALTY = 0.01
"""Weight of the group lasso on that encoding."""


class MemberDense(keras.layers.Layer):
    """A dense layer a member: [batch, n] or [members, batch, n] to [members, batch, units]."""

    def __init__(self, units: int, **options: object) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, shape: tf.TensorShape) -> None:
        """Makes the weights; He's initialisation, uniform."""
        width = int(shape[-1])
        limit = (6.0 / width) ** 0.5
        self.kernel = self.add_weight(
            "kernel",
            (MEMBERS, width, self.units),
            initializer=keras.initializers.RandomUniform(-limit, limit),
        )
        self.bias = self.add_weight("bias", (MEMBERS, 1, self.units), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies every member's weights."""
        if len(inputs.shape) == 2:
            inputs = inputs[tf.newaxis]
        return tf.matmul(inputs, self.kernel) + self.bias


class Bends(keras.layers.Layer):
    """Lets the first layer bend along a feature: [batch, n] ranks to [batch, units].

    Ranks are encoded piecewise linearly (``pieces``), so that a step at any quantile can be
    learnt as a tree would. The weights begin at 0 and a group lasso holds each feature's together:
    a feature that gains nothing by bending stays a straight line. Without it, few independent
    events (many rows each) are learnt by heart. All members share the weights: as good, and
    six times faster than weights of their own.
    """

    def __init__(self, units: int, **options: object) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, shape: tf.TensorShape) -> None:
        """Makes the weights, all 0."""
        self.kernel = self.add_weight(
            "kernel", (int(shape[-1]), PIECES, self.units), initializer="zeros"
        )

    def call(self, ranks: tf.Tensor) -> tf.Tensor:
        """Applies the weights and adds the penalty."""
        # A root of 0 has no gradient.
        squares = tf.reduce_sum(tf.square(tf.cast(self.kernel, tf.float32)), axis=[1, 2])
        self.add_loss(BEND_PENALTY * tf.reduce_sum(tf.sqrt(squares + 1e-12)))
        width = int(self.kernel.shape[0]) * PIECES
        encoded = tf.reshape(pieces(ranks, PIECES), [-1, width])
        return tf.matmul(encoded, tf.reshape(self.kernel, [width, self.units]))


def pieces(ranks: tf.Tensor, count: int) -> tf.Tensor:
    """Spreads ranks from 0 to 1 over pieces that fill up one after the other.

    Piecewise-linear encoding of Gorishniy et al. (2022), "On embeddings for numerical features in
    tabular deep learning"; on ranks its bins are quantiles.

    Args:
      ranks: [batch, n].
      count: how many pieces.

    Returns:
      [batch, n, count], 0 to 1.
    """
    starts = tf.cast(tf.range(count), ranks.dtype)
    return tf.clip_by_value(ranks[:, :, tf.newaxis] * count - starts, 0, 1)
