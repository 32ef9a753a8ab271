"""What a training run tells of itself: ``training.json`` beside TensorBoard's logs."""

import json
import pathlib
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

FILE = "training.json"


class Record(keras.callbacks.Callback):
    """Writes the file anew after each epoch.

    Each epoch's entry holds ``epoch`` from 1, ``seconds`` with its evaluation,
    ``examples_per_second`` and ``step_seconds`` (mean, p50, p99) of training alone,
    ``learning_rate`` and ``metrics``.

    Args:
      folder: where the file goes.
      told: what is known before training, by name.
      examples: of the train split.
    """

    def __init__(self, folder: str, told: dict[str, Any], examples: int) -> None:
        super().__init__()
        self._path = pathlib.Path(folder) / FILE
        self._told, self._examples = told, examples
        self._epochs: list[dict[str, Any]] = []
        self._steps: list[float] = []
        self._began = self._step_began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        self._began, self._steps = time.perf_counter(), []

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts a step's clock, which runs while the step waits for its input too."""
        self._step_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stops it."""
        self._steps.append(time.perf_counter() - self._step_began)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Adds the epoch."""
        steps = np.array(self._steps)
        rate = self.model.optimizer.learning_rate
        self._epochs.append(
            {
                "epoch": epoch + 1,
                "seconds": time.perf_counter() - self._began,
                "examples_per_second": self._examples / max(float(steps.sum()), 1e-9),
                "step_seconds": {
                    "mean": float(steps.mean()),
                    "p50": float(np.quantile(steps, 0.5)),
                    "p99": float(np.quantile(steps, 0.99)),
                },
                "learning_rate": float(rate.numpy() if hasattr(rate, "numpy") else rate),
                "metrics": {name: float(value) for name, value in (logs or {}).items()},
            }
        )
        self.write()

    def write(self, **more: Any) -> None:
        """Writes the file, whole.

        Args:
          more: what is known now, by name.
        """
        self._told |= more
        text = {
            **self._told,
            "gpu_memory_peak_bytes": _gpu_memory(),
            "epochs": self._epochs,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f".{FILE}.partial")
        partial.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._path)


def _gpu_memory() -> dict[str, int]:
    """The most that TensorFlow had in use, by device: not what it reserved."""
    return {
        device.name.rpartition("device:")[2]: tf.config.experimental.get_memory_info(
            device.name.rpartition("device:")[2]
        )["peak"]
        for device in tf.config.list_logical_devices("GPU")
    }


def input_rate(dataset: tf.data.Dataset, batches: int = 20) -> float:
    """Examples a second that the input alone delivers: far above training's own, it keeps up.

    Args:
      dataset: of batches; a new pass over it is begun.
      batches: how many are drawn; the first, which sets the input up, is not timed.
    """
    rows, began = 0, 0.0
    for number, batch in enumerate(dataset.take(batches + 1)):
        if number:
            rows += int(batch[-1].shape[0])
        else:
            began = time.perf_counter()
    return rows / max(time.perf_counter() - began, 1e-9) if rows else 0.0
