"""``run_fn``: what the Trainer component calls."""

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from absl import logging

from trainer import examples, features, resume
from trainer.features import Config
from trainer.files import Files
from trainer.model import Ensemble, Target, build, compile_model
from trainer.record import Record, input_rate
from trainer.signatures import signatures
from trainer.strategy import Placement, place, precision, save_options
from trainer.waiting import InputClock

MEMORY = 1 << 30
"""Bytes of transformed columns that a split may hold in memory; above, it is streamed."""
EVAL_BATCH = 4096
TPU_STEPS = 32
"""Steps that a TPU takes before this process looks at it again."""


@tf.autograph.experimental.do_not_convert
def run_fn(fn_args: Any) -> None:
    """Trains a model and saves it with its signatures.

    AutoGraph converts nothing meanwhile: it would rewrite tf_keras's metrics and TFX's readers of
    examples, which need it not, and take a third of a short training's time.

    Args:
      fn_args: ``tfx.components.FnArgs``; ``custom_config`` is read by ``trainer.features``. With
        ``train_steps`` training takes so many steps instead of ``training.epochs``, rounded up to
        epochs of equal length; ``eval_steps`` bounds the batches of each evaluation. 0 or None
        means all.

    Raises:
      ValueError: if the settings or the labels cannot be trained with; the message says why.
    """
    config = Config.read(fn_args.custom_config, fn_args.hyperparameters)
    training = config.training
    placement = place(training.strategy, training.communication)
    policy, why = precision(training.mixed_precision, placement)
    logging.info(
        "Training on %s: %s (%s). %d worker(s), %d replica(s) here and elsewhere; %s (%s)",
        ", ".join(placement.devices),
        placement.chosen,
        placement.why,
        placement.workers,
        placement.replicas,
        policy,
        why,
    )
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(training.seed)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    schema = transform_output.transformed_metadata.schema
    names = class_names(config, transform_output)
    with tempfile.TemporaryDirectory(prefix="parsed-") as folder:
        train, evaluate = (
            examples.read(
                Files(patterns, fn_args.data_accessor, schema, folder if training.cache else ""),
                config,
                MEMORY,
            )
            for patterns in (fn_args.train_files, fn_args.eval_files)
        )
        if not len(train):
            raise ValueError(
                "the train split holds no examples: look at split and the join's report"
            )
        target = Target.measure(
            config.task, train.labels, len(names), training.class_weights == "balanced"
        )
        with placement.strategy.scope(), _precision(policy):
            model = build(config, category_sizes(config, transform_output), target)
            if placement.chosen != "tpu":  # It takes several steps by itself.
                model.clock = InputClock()
            _fit(model, config, target, train, evaluate, placement, policy, fn_args)
    # Every worker has to save, since they read some variables together; its launcher gives each but
    # the chief a folder that is thrown away.
    path = fn_args.serving_model_dir
    _save(model, config, target, names, transform_output, path, save_options(placement))


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Keras's policy for the model's layers alone: Transform's must stay in float32."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
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
    placement: Placement,
    policy: str,
    fn_args: Any,
) -> None:
    """Trains until the epochs are over or evaluation gains no more; keeps the best weights."""
    training = config.training
    epochs, steps_per_epoch = _course(len(train), training, placement, fn_args)
    backup = os.environ.get(resume.BACKUP, "")
    first = min(resume.restored_epoch(backup), epochs) if backup else 0
    dataset = train.training(config, target, placement, first * steps_per_epoch)
    compile_model(
        model, config, epochs * steps_per_epoch, TPU_STEPS if placement.chosen == "tpu" else 1
    )
    record = Record(
        fn_args.model_run_dir,
        _told(config, placement, policy, model, train, steps_per_epoch),
        len(train),
        model.clock,
        backup,
        first,
    )
    callbacks: list[keras.callbacks.Callback] = [Progress(epochs)]
    validation = validation_steps = stopping = None
    if len(evaluate):
        validation, validation_steps = evaluate.batches(
            config, target, placement, EVAL_BATCH, fn_args.eval_steps
        )
        stopping = resume.EarlyStopping(
            training.early_stopping_patience, backup, first, placement.chief
        )
        callbacks.append(stopping)
    if placement.chief:
        board = keras.callbacks.TensorBoard(
            fn_args.model_run_dir, profile_batch=training.profile or 0
        )
        callbacks += [record, board]
    if backup:
        # After early stopping, whose memory of this epoch must not come later than the epoch's.
        callbacks.append(keras.callbacks.BackupAndRestore(backup))
    if beat := os.environ.get(resume.HEARTBEAT):
        callbacks.append(resume.Heartbeat(beat))
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
    if first:
        logging.info("Going on after epoch %d, from the backup in %s", first, backup)
    over = stopping is not None and stopping.was_over
    model.fit(
        dataset,
        epochs=first if over else epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=validation,
        validation_steps=validation_steps,
        callbacks=callbacks,
        verbose=0,
    )
    if stopping:
        stopping.forget()
    if placement.chief:
        record.forget()
        alone = train.training(config, target, placement)
        record.write(
            best_epoch=stopping.best_epoch + 1 if stopping else None,
            stopped_early=bool(stopping and stopping.stopped_epoch),
            restored_epoch=first or None,
            input_examples_per_second=input_rate(alone, placement),
        )


def _course(
    count: int, training: features.Training, placement: Placement, fn_args: Any
) -> tuple[int, int]:
    """How many epochs there are at most, and of how many steps."""
    batch_size = training.batch_size
    whole = placement.chosen == "tpu"
    if whole and batch_size % placement.replicas:
        raise ValueError(
            f"training.batch_size is {batch_size}: the TPU's {placement.replicas} replicas take "
            f"equal parts of it, so it has to be a multiple of {placement.replicas}"
        )
    steps = count // batch_size if whole else math.ceil(count / batch_size)
    if not steps:
        raise ValueError(
            f"training.batch_size is {batch_size}, and the train split has {count} examples: a TPU "
            "takes whole batches only"
        )
    if not fn_args.train_steps:
        return training.epochs, steps
    epochs = math.ceil(fn_args.train_steps / steps)
    return epochs, math.ceil(fn_args.train_steps / epochs)


def _save(
    model: Ensemble,
    config: Config,
    target: Target,
    names: list[bytes],
    transform_output: tft.TFTransformOutput,
    path: str,
    options: tf.saved_model.SaveOptions,
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
    tf.saved_model.save(module, path, signatures=functions, options=options)


def _told(
    config: Config,
    placement: Placement,
    policy: str,
    model: Ensemble,
    train: examples.Examples,
    steps_per_epoch: int,
) -> dict[str, Any]:
    """What training.json says of a run before it begins."""
    training = config.training
    return {
        "strategy": {
            "asked": placement.asked,
            "chosen": placement.chosen,
            "why": placement.why,
            "replicas": placement.replicas,
            "workers": placement.workers,
            "devices": placement.devices,
        },
        "precision": policy,
        "xla": training.xla,
        "seed": training.seed,
        "deterministic": training.deterministic,
        "global_batch": training.batch_size,
        "learning_rate": training.scaled_learning_rate,
        "steps_per_epoch": steps_per_epoch,
        "examples": len(train),
        "input": "stream" if train.held is None else "memory",
        "parameters": int(model.count_params()),
    }


def class_names(config: Config, transform_output: tft.TFTransformOutput) -> list[bytes]:
    """For multiclass, the classes' names in the order of their indices; else none."""
    if config.task != "multiclass":
        return []
    return transform_output.vocabulary_by_name(features.LABEL_VOCABULARY)


def category_sizes(config: Config, transform_output: tft.TFTransformOutput) -> list[int]:
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
