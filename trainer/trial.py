"""A trial: a model trained on a part of the train split and measured on another.

``prepare`` runs once, with TensorFlow Transform; trials themselves need only what it left.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from trainer import objective, run
from trainer.examples import Examples, hold
from trainer.features import Config
from trainer.model import Target, build, compile_model
from trainer.resume import EarlyStopping
from trainer.strategy import place

_FIT, _VALIDATION = "fit", "validation"
PARTS = (_FIT, _VALIDATION)
_ABOUT = "trial.json"

Report = Callable[[int, float], bool]
"""Told an epoch and the metric after it; whether to stop."""


def prepare(
    custom_config: Mapping[str, Any],
    metric: str,
    transform_graph: str,
    parts: Mapping[str, Iterable[Sequence[bytes]]],
    folder: Path,
) -> None:
    """Transforms the examples of trials and writes them down.

    Args:
      custom_config: what Trainer is given.
      metric: a name of ``objective.METRICS``.
      transform_graph: what Transform made, from the whole train split.
      parts: by PARTS, batches of serialized raw tf.Examples; at least one of each.
      folder: where it is written; it exists.

    Raises:
      ValueError: if an example has no label, or a binary one is neither 0 nor 1.
    """
    import tensorflow_transform as tft

    config = Config.read(custom_config)
    transform_output = tft.TFTransformOutput(transform_graph)
    transform = transform_output.transform_features_layer()
    raw = transform_output.raw_feature_spec()
    specs = {name: raw[name] for name in (*config.raw, config.label)}
    for name in PARTS:
        batches = [transform(tf.io.parse_example(batch, specs)) for batch in parts[name]]
        columns = {key: np.concatenate([b[key].numpy() for b in batches]) for key in batches[0]}
        hold(columns, config)
        np.savez(folder / f"{name}.npz", **columns)
    about = {
        "custom_config": dict(custom_config),
        "metric": metric,
        "category_sizes": run.category_sizes(config, transform_output),
        "classes": len(run.class_names(config, transform_output)),
    }
    (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


def load(folder: str) -> Callable[[Mapping[str, Any], Report], float]:
    """Makes what runs trials, from what ``prepare`` left."""
    return _Objective(Path(folder))


class _Objective:
    def __init__(self, folder: Path) -> None:
        self._about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        config = Config.read(self._about["custom_config"])
        self._fit, self._validation = (_read(folder / f"{name}.npz", config) for name in PARTS)

    def __call__(self, hyperparameters: Mapping[str, Any], report: Report) -> float:
        """Trains as ``run_fn`` does, on one device; the metric of the weights that it keeps.

        Args:
          hyperparameters: instead of those of ``training``.
          report: called after each epoch.
        """
        keras.backend.clear_session()
        config = Config.read(self._about["custom_config"], {"values": hyperparameters})
        training = config.training
        keras.utils.set_random_seed(training.seed)
        target = Target.measure(
            config.task,
            self._fit.labels,
            self._about["classes"],
            training.class_weights == "balanced",
        )
        model = build(config, self._about["category_sizes"], target)
        steps = math.ceil(len(self._fit) / training.batch_size)
        compile_model(model, config, training.epochs * steps)
        device = place("none", environment={})
        batches, count = self._validation.batches(config, target, device, run.EVAL_BATCH)
        validation = batches.take(count).cache()

        def measure() -> float:
            outputs = [model(features, training=False) for features, _, _ in validation]
            labels, metric = self._validation.labels, self._about["metric"]
            return objective.measure(metric, config, target, labels, tf.concat(outputs, 0))

        model.fit(
            self._fit.training(config, target, device),
            epochs=training.epochs,
            steps_per_epoch=steps,
            validation_data=validation,
            callbacks=[
                _Reporting(measure, report),
                EarlyStopping(training.early_stopping_patience),
            ],
            verbose=0,
        )
        return measure()


class _Reporting(keras.callbacks.Callback):
    """Reports the metric after each epoch, and stops where that is the answer."""

    def __init__(self, measure: Callable[[], float], report: Report) -> None:
        super().__init__()
        self._measure = measure
        self._report = report

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Reports."""
        if self._report(epoch, self._measure()):
            self.model.stop_training = True


def _read(path: Path, config: Config) -> Examples:
    with np.load(path) as columns:
        return hold(dict(columns), config)
