"""What a training run tells of itself: ``training.json`` beside TensorBoard's logs."""

import itertools
import json
import pathlib
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from trainer.strategy import Placement
from trainer.waiting import InputClock

FILE = "training.json"


class Record(keras.callbacks.Callback):
    """Writes the file anew after each epoch.

    Each epoch's entry holds ``epoch`` from 1, ``seconds`` with its evaluation,
    ``examples_per_second``, ``step_seconds`` and, as a part of these, ``input_wait_seconds`` of
    training alone (total, mean, p50, p99), ``learning_rate`` and ``metrics``. A TPU's wait is not
    told, as it takes several steps by itself. ``lost_seconds`` is
    the time from the backups that training went on from until it did.

    Args:
      folder: where the file goes.
      told: what is known before training, by name.
      examples: of the train split.
      clock: counts what steps wait for their input.
      backup: the folder in which the entries outlive an interruption; "" for none.
      first: the epoch that training begins with.
    """

    def __init__(
        self,
        folder: str,
        told: dict[str, Any],
        examples: int,
        clock: InputClock | None,
        backup: str = "",
        first: int = 0,
    ) -> None:
        super().__init__()
        self._path = pathlib.Path(folder) / FILE
        self._told, self._examples, self._clock = told, examples, clock
        self._kept = pathlib.Path(backup) / FILE if backup else None
        self._epochs: list[dict[str, Any]] = []
        self._lost = self._began = self._step_began = self._waited = 0.0
        self._steps: list[float] = []
        self._waits: list[float] = []
        if self._kept is not None and first and self._kept.exists():
            kept = json.loads(self._kept.read_text(encoding="utf-8"))
            self._epochs = [entry for entry in kept["epochs"] if entry["epoch"] <= first]
            self._lost = kept["lost_seconds"] + max(0.0, time.time() - kept["at"])

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clocks."""
        self._began, self._steps, self._waits = time.perf_counter(), [], []

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts a step's clock, which runs while the step waits for its input too."""
        self._step_began = time.perf_counter()
        self._waited = self._clock.seconds if self._clock else 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stops it."""
        self._steps.append(time.perf_counter() - self._step_began)
        if self._clock:
            self._waits.append(self._clock.seconds - self._waited)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Adds the epoch."""
        steps = _summary(self._steps)
        rate = self.model.optimizer.learning_rate
        self._epochs.append(
            {
                "epoch": epoch + 1,
                "seconds": time.perf_counter() - self._began,
                "examples_per_second": self._examples / max(steps["total"], 1e-9),
                "step_seconds": steps,
                **({"input_wait_seconds": _summary(self._waits)} if self._waits else {}),
                "learning_rate": float(rate.numpy() if hasattr(rate, "numpy") else rate),
                "metrics": {name: float(value) for name, value in (logs or {}).items()},
            }
        )
        self.write()
        if self._kept is not None:
            # Before the epoch's backup is made, which is not gone on from without it.
            told = {"epochs": self._epochs, "lost_seconds": self._lost, "at": time.time()}
            _write(self._kept, told)

    def forget(self) -> None:
        """Removes what was kept for a training that goes on."""
        if self._kept is not None:
            self._kept.unlink(missing_ok=True)

    def write(self, **more: Any) -> None:
        """Writes the file, whole.

        Args:
          more: what is known now, by name.
        """
        self._told |= more
        told = {
            **self._told,
            "gpu_memory_peak_bytes": _gpu_memory(),
            "lost_seconds": self._lost,
            "epochs": self._epochs,
        }
        _write(self._path, told)


def _write(path: pathlib.Path, told: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _summary(seconds: list[float]) -> dict[str, float]:
    values = np.array(seconds)
    return {
        "total": float(values.sum()),
        "mean": float(values.mean()),
        "p50": float(np.quantile(values, 0.5)),
        "p99": float(np.quantile(values, 0.99)),
    }


def _gpu_memory() -> dict[str, int]:
    """The most that TensorFlow had in use, by device: not what it reserved."""
    return {
        device.name.rpartition("device:")[2]: tf.config.experimental.get_memory_info(
            device.name.rpartition("device:")[2]
        )["peak"]
        for device in tf.config.list_logical_devices("GPU")
    }


def input_rate(dataset: Any, placement: Placement, batches: int = 20) -> float:
    """Examples a second that the input alone delivers: far above training's own, it keeps up.

    Args:
      dataset: this process's endless batches; a new pass over it is begun.
      placement: who trains; other processes' input is taken to be as quick.
      batches: how many are drawn; the first, which sets the input up, is not timed.
    """
    rows, began = 0, 0.0
    for number, (_, label, _) in enumerate(itertools.islice(dataset, batches + 1)):
        if number:
            parts = placement.strategy.experimental_local_results(label)
            rows += sum(int(part.shape[0]) for part in parts)
        else:
            began = time.perf_counter()
    return rows * placement.workers / max(time.perf_counter() - began, 1e-9)
