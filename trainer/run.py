"""``run_fn``: what the Trainer component calls."""

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from absl import logging

from trainer import examples, features
from trainer.features import Config
from trainer.model import Ensemble, Target, build, compile_model
from trainer.signatures import signatures
from trainer.strategy import distribution

MEMORY = 1 << 30
"""Bytes of transformed columns that a split may hold in memory; above, it is streamed."""
EVAL_BATCH = 4096


def run_fn(fn_args: Any) -> None:
    """Trains a model and saves it with its signatures.

    Args:
      fn_args: ``tfx.components.FnArgs``; ``custom_config`` is read by ``trainer.features``. With
        ``train_steps`` training takes so many steps instead of ``training.epochs``, rounded up to
        epochs of equal length; ``eval_steps`` bounds the batches of each evaluation. 0 or None
        means all.

    Raises:
      ValueError: if the settings or the labels cannot be trained with; the message says why.
    """
    config = Config.read(fn_args.custom_config)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    keras.utils.set_random_seed(config.training.seed)
    strategy = distribution(config.training.strategy)
    schema = transform_output.transformed_metadata.schema
    train, evaluate = (
        examples.read(files, fn_args.data_accessor, schema, config, MEMORY)
        for files in (fn_args.train_files, fn_args.eval_files)
    )
    if not len(train):
        raise ValueError("the train split holds no examples: look at split and the join's report")
    names = _class_names(config, transform_output)
    target = Target.measure(
        config.task, train.labels, len(names), config.training.class_weights == "balanced"
    )
    with strategy.scope(), _precision(config.training.mixed_precision):
        model = build(config, _category_sizes(config, transform_output), target)
        _fit(model, config, target, train, evaluate, fn_args)
    _save(model, config, target, names, transform_output, fn_args.serving_model_dir)


@contextlib.contextmanager
def _precision(mixed: bool) -> Iterator[None]:
    """Keras's policy for the model's layers alone: Transform's must stay in float32."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16" if mixed else "float32")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _fit(
    model: Ensemble,
    config: Config,
    target: Target,
    train: examples.Examples,
    evaluate: examples.Examples,
    fn_args: Any,
) -> None:
    """Trains until the epochs are over or evaluation gains no more; keeps the best weights."""
    training = config.training
    steps_per_epoch = math.ceil(len(train) / training.batch_size)
    epochs = training.epochs
    dataset = train.batches(config, target, True, training.batch_size)
    if fn_args.train_steps:
        epochs = math.ceil(fn_args.train_steps / steps_per_epoch)
        steps_per_epoch = math.ceil(fn_args.train_steps / epochs)
        dataset = dataset.repeat()
    compile_model(model, config, epochs * steps_per_epoch)
    validation = None
    callbacks: list[keras.callbacks.Callback] = [
        Progress(epochs),
        keras.callbacks.TensorBoard(fn_args.model_run_dir, write_graph=False, profile_batch=0),
    ]
    if len(evaluate):
        validation = evaluate.batches(config, target, False, EVAL_BATCH).cache()
        if fn_args.eval_steps:
            validation = validation.take(fn_args.eval_steps)
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_loss", patience=training.early_stopping_patience, restore_best_weights=True
            )
        )
    unseen = int((evaluate.labels < 0).sum()) if config.task == "multiclass" else 0
    if unseen:
        logging.warning("%d eval examples are of a class that training never saw", unseen)
    logging.info(
        "Training on %d examples, evaluating on %d, at most %d epochs of %d steps",
        len(train),
        len(evaluate),
        epochs,
        steps_per_epoch,
    )
    model.fit(
        dataset,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch if fn_args.train_steps else None,
        validation_data=validation,
        callbacks=callbacks,
        verbose=0,
    )


def _save(
    model: Ensemble,
    config: Config,
    target: Target,
    names: list[bytes],
    transform_output: tft.TFTransformOutput,
    path: str,
) -> None:
    transform = transform_output.transform_features_layer()
    module = tf.Module()
    # A plain module with what the signatures use, not the Keras models themselves: saving those
    # traces every layer's call again, which takes longer than training.
    module.weights = model.variables
    module.transform = getattr(transform, "_saved_model_loader_tracked_dict", transform)
    labels = tf.constant(names) if names else None
    raw_specs = transform_output.raw_feature_spec()
    functions = signatures(model, transform, raw_specs, config, target, labels)
    tf.saved_model.save(module, path, signatures=functions)


def _class_names(config: Config, transform_output: tft.TFTransformOutput) -> list[bytes]:
    if config.task != "multiclass":
        return []
    return transform_output.vocabulary_by_name(features.LABEL_VOCABULARY)


def _category_sizes(config: Config, transform_output: tft.TFTransformOutput) -> list[int]:
    """How many indices each categorical, then each bucketized feature has, missing included."""
    return [
        1 + transform_output.vocabulary_size_by_name(c.vocabulary_file) + c.oov_buckets
        for c in config.categorical
    ] + [1 + b.buckets for b in config.bucketized]


class Progress(keras.callbacks.Callback):
    """Logs a line an epoch."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._begin = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the epoch's clock."""
        self._begin = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Logs the epoch's measures."""
        measures = ", ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        seconds = time.monotonic() - self._begin
        logging.info("Epoch %d of %d: %s (%.1f s)", epoch + 1, self._epochs, measures, seconds)
