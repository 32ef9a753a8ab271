"""The features' transformation, computed by Transform and served inside the model's graph."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_transform as tft

from trainer import features
from trainer.features import Config

Column: TypeAlias = tf.Tensor | tf.SparseTensor


def preprocessing_fn(
    inputs: Mapping[str, Column], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Makes the transformed features out of the raw columns.

    Args:
      inputs: raw columns as the schema parses them: dense [batch] or [batch, 1], or sparse
        [batch, at most 1] where a value may be missing. NaN and the empty text are missing too.
      custom_config: what ``trainer.features.Config.read`` reads.

    Returns:
      The vectors that ``trainer.features`` names, and the label.

    Raises:
      ValueError: if a column is not in the data or of a kind that its role cannot take.
    """
    config = Config.read(custom_config)
    needed = (*config.raw, config.label)
    absent = [name for name in needed if name not in inputs]
    if absent:
        raise ValueError(f"no column {', '.join(absent)} in the schema; it has {', '.join(inputs)}")
    single = _single_valued({name: inputs[name] for name in config.raw})
    outputs: dict[str, tf.Tensor] = {}
    if config.numeric:
        values = _numbers(single, config.numeric)
        missing = tf.math.is_nan(values)
        z = tft.scale_to_z_score(values, elementwise=True)
        z = tf.clip_by_value(z, -features.CLIP, features.CLIP)
        # The mean of a z-score is 0: this is imputation with the mean.
        outputs[features.NUMERIC] = tf.where(tf.math.is_nan(z), tf.zeros_like(z), z)
        outputs[features.RANK] = tf.where(missing, 0.5 * tf.ones_like(z), _rank(values))
        outputs[features.MISSING] = tf.cast(missing, tf.float32)
    indices = []
    for category in config.categorical:
        present, values = _category(category.name, single[category.name])
        index = tft.compute_and_apply_vocabulary(
            values,
            top_k=category.vocabulary,
            num_oov_buckets=category.oov_buckets,
            vocab_filename=category.vocabulary_file,
        )
        indices.append(_dense(present, index, tf.constant(-1, tf.int64)) + 1)
    for bucketized in config.bucketized:
        number = _numbers(single, [bucketized.name])
        boundaries = tft.quantiles(number, bucketized.buckets, epsilon=0.01)
        index = tft.apply_buckets(number, boundaries)
        indices.append(tf.where(tf.math.is_nan(number), tf.zeros_like(index), index + 1))
    if indices:
        outputs[features.CATEGORICAL] = tf.concat(indices, axis=1)
    outputs[features.LABEL] = _label(config, inputs[config.label])
    return outputs


def _rank(values: tf.Tensor) -> tf.Tensor:
    """Places values among the training data's quantiles, 0 to 1, linear in between.

    Args:
      values: float32 [batch, features], NaN where missing.
    """
    boundaries = tft.quantiles(
        values, features.QUANTILES, epsilon=0.005, reduce_instance_dims=False
    )
    low, high = boundaries[:, :-1], boundaries[:, 1:]
    # A value that many examples share makes empty bins; there the share jumps from 0 to 1.
    width = tf.maximum(high - low, 1e-9 + 1e-6 * tf.abs(low))
    share = tf.clip_by_value((values[:, :, tf.newaxis] - low) / width, 0.0, 1.0)
    return tf.reduce_mean(share, axis=2)


def _single_valued(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Refuses columns with several values an example, naming them."""
    sparse = {name: x for name, x in columns.items() if isinstance(x, tf.SparseTensor)}
    if not sparse:
        return dict(columns)
    widths = tf.stack([x.dense_shape for x in sparse.values()])[:, 1]
    check = tf.debugging.Assert(
        tf.reduce_max(widths) <= 1,
        [
            "a feature must hold at most one value an example; values by feature:",
            ", ".join(sparse),
            widths,
        ],
        summarize=len(sparse),
    )
    with tf.control_dependencies([check] if check is not None else []):
        checked = {
            name: tf.SparseTensor(x.indices, tf.identity(x.values), x.dense_shape)
            for name, x in sparse.items()
        }
    return {**columns, **checked}


def _numbers(columns: Mapping[str, Column], names: Sequence[str]) -> tf.Tensor:
    """Columns as float32 [batch, columns], NaN where missing.

    All that may miss values are spread at once: Transform and what reads its graph trace it a dozen
    times, and the time that takes grows with the operations.
    """
    for name in names:
        if columns[name].dtype == tf.string:
            raise ValueError(
                f"numeric feature {name!r} is text: name it under features.categorical"
            )
    sparse = [name for name in names if isinstance(columns[name], tf.SparseTensor)]
    parts = [
        tf.reshape(tf.cast(columns[name], tf.float32), [-1, 1])
        for name in names
        if name not in sparse
    ]
    if sparse:
        rows = columns[sparse[0]].dense_shape[0]
        # A batch without any value of a column is one without its width.
        shape = tf.stack([rows, tf.constant(1, tf.int64)])
        together = tf.sparse.concat(
            1,
            [
                tf.SparseTensor(x.indices, tf.cast(x.values, tf.float32), shape)
                for x in (columns[name] for name in sparse)
            ],
        )
        dense = tf.sparse.to_dense(together, tf.constant(float("nan")))
        parts.insert(0, tf.reshape(dense, [-1, len(sparse)]))
    if len(parts) == 1:
        return parts[0]
    order = [*sparse, *(name for name in names if name not in sparse)]
    return tf.gather(tf.concat(parts, axis=1), [order.index(name) for name in names], axis=1)


def _category(name: str, column: Column) -> tuple[tf.SparseTensor, tf.Tensor]:
    """A column as the places and the values of what is not missing."""
    if column.dtype.is_floating:
        raise ValueError(
            f"categorical feature {name!r} is a float: name it under features.numeric or bucketized"
        )
    if isinstance(column, tf.SparseTensor):
        indices, values, rows = column.indices, column.values, column.dense_shape[0]
    else:
        values = tf.reshape(column, [-1])
        rows = tf.size(values, out_type=tf.int64)
        indices = tf.stack([tf.range(rows), tf.zeros([rows], tf.int64)], axis=1)
    if values.dtype == tf.string:
        named = tf.where(tf.not_equal(values, ""))
        indices, values = tf.gather_nd(indices, named), tf.gather_nd(values, named)
    return tf.SparseTensor(indices, values, [rows, 1]), values


def _dense(places: tf.SparseTensor, values: tf.Tensor, missing: tf.Tensor) -> tf.Tensor:
    """Spreads values over [batch, 1]."""
    shape = tf.stack([places.dense_shape[0], tf.constant(1, tf.int64)])
    dense = tf.sparse.to_dense(tf.SparseTensor(places.indices, values, shape), missing)
    return tf.reshape(dense, [-1, 1])


def _label(config: Config, column: Column) -> tf.Tensor:
    """The label as [batch, 1]; a missing one is NaN, or -1 for multiclass."""
    if config.task == "multiclass":
        present, values = _category(config.label, column)
        index = tft.compute_and_apply_vocabulary(values, vocab_filename=features.LABEL_VOCABULARY)
        return _dense(present, index, tf.constant(-1, tf.int64))
    if column.dtype == tf.string:
        raise ValueError(
            f"label {config.label!r} is text: a {config.task} label must be a number"
            + (" (0 or 1)" if config.task == "binary" else "")
        )
    return _numbers({config.label: column}, [config.label])
