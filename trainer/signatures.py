"""What the saved model answers: its signatures, with the transformation inside."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from trainer.features import Config
from trainer.model import Target, predictions

MISSING_INTEGER = -(2**63)
"""Stands for a missing value of an integer category in ``predict_columns``."""


def signatures(
    model: keras.Model,
    transform: Callable[[dict[str, Any]], dict[str, tf.Tensor]],
    raw_specs: Mapping[str, Any],
    config: Config,
    target: Target,
    labels: tf.Tensor | None,
) -> dict[str, Any]:
    """Makes the functions that are saved beside the model.

    ``serving_default`` takes ``examples``, string [batch]: serialized tf.Examples, the label and
    columns that the model does not use aside.

    ``predict_columns`` takes one tensor a raw column, by its name, [batch] or [batch, 1], all of
    them: text columns as string with '' where missing, integer categories as int64 with
    MISSING_INTEGER where missing, all other numbers as float64 with NaN where missing.

    Args:
      model: what ``trainer.model.build`` made.
      transform: from raw features to transformed ones.
      raw_specs: feature specs of the raw columns.
      config: which columns the model uses.
      target: the label's measures.
      labels: for multiclass, the classes' names, string [classes].

    Returns:
      Functions by signature name; what they answer is told at ``trainer.model.predictions``.
    """
    specs = {name: raw_specs[name] for name in config.raw}
    categories = {category.name for category in config.categorical}

    def answer(raw: dict[str, Any]) -> Mapping[str, tf.Tensor]:
        transformed = transform(raw)
        outputs = model({name: transformed[name] for name in model.input}, training=False)
        return predictions(config, target, labels, outputs)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False
    )
    def serve_examples(examples: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return answer(tf.io.parse_example(examples, specs))

    columns = {
        name: tf.TensorSpec(None, _column_type(spec.dtype, name in categories), name=name)
        for name, spec in specs.items()
    }

    @tf.function(input_signature=[columns], autograph=False)
    def predict_columns(columns: dict[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        return answer({name: _raw(columns[name], spec) for name, spec in specs.items()})

    return {"serving_default": serve_examples, "predict_columns": predict_columns}


def _column_type(dtype: tf.DType, category: bool) -> tf.DType:
    if dtype == tf.string or (category and dtype == tf.int64):
        return dtype
    return tf.float64


def _raw(column: tf.Tensor, spec: Any) -> Any:
    """A dense column as the parsed tf.Example would have it."""
    column = tf.reshape(column, [-1])
    if isinstance(spec, tf.io.FixedLenFeature):
        return tf.reshape(_cast(column, spec.dtype), [-1, *spec.shape])
    if column.dtype == tf.string:
        present = tf.not_equal(column, "")
    elif column.dtype == tf.int64:
        present = tf.not_equal(column, MISSING_INTEGER)
    else:
        present = tf.logical_not(tf.math.is_nan(column))
    rows = tf.where(present)
    indices = tf.concat([rows, tf.zeros_like(rows)], axis=1)
    shape = tf.stack([tf.size(column, out_type=tf.int64), tf.constant(1, tf.int64)])
    return tf.SparseTensor(indices, _cast(tf.gather_nd(column, rows), spec.dtype), shape)


def _cast(column: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    if column.dtype == tf.float64 and dtype == tf.int64:
        return tf.cast(tf.math.rint(column), tf.int64)
    return tf.cast(column, dtype) if column.dtype != dtype else column
