"""Training that goes on where it was stopped: after each epoch all that it needs is kept.

The launcher names the folder in TRAINING_BACKUP_DIR, on a disk that every worker sees. Weights,
optimizer and epoch are Keras's BackupAndRestore's; early stopping's memory, which that one leaves
out, is kept beside them; the order of the examples follows from seed and epoch alone.
"""

import pathlib
import tempfile
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

BACKUP, HEARTBEAT = "TRAINING_BACKUP_DIR", "TRAINING_HEARTBEAT_FILE"
_EPOCH = "ckpt_saved_epoch/.ATTRIBUTES/VARIABLE_VALUE"
_STATE = "early_stopping-{epoch}.npz"
_COUNTS = ("wait", "best_epoch", "stopped_epoch")


def restored_epoch(folder: str) -> int:
    """The epoch that training will begin with, 0 without a backup."""
    newest = tf.train.latest_checkpoint(pathlib.Path(folder, "chief"))
    return int(tf.train.load_checkpoint(newest).get_tensor(_EPOCH)) + 1 if newest else 0


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's, which remembers the best weights and its patience when training is resumed.

    Args:
      patience: epochs without a gain before training ends.
      folder: where the memory is kept; "" for nowhere.
      first: the epoch that training begins with.
      writes: whether this process writes there.
    """

    def __init__(
        self, patience: int, folder: str = "", first: int = 0, writes: bool = False
    ) -> None:
        super().__init__("val_loss", patience=patience, restore_best_weights=True)
        self._folder = pathlib.Path(folder) if folder else None
        self._writes = writes
        self._memory: dict[str, Any] = {}
        if self._folder is not None and first:
            path = self._folder / _STATE.format(epoch=first - 1)
            if path.exists():
                with np.load(path) as state:
                    self._memory = dict(state)

    @property
    def was_over(self) -> bool:
        """Whether the run that is resumed had stopped early."""
        return bool(self._memory.get("stopped_epoch", 0))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Takes up the memory of the epoch before the first one."""
        super().on_train_begin(logs)
        if not self._memory:
            return
        self.best = self._memory["best"][()]
        for name in _COUNTS:
            setattr(self, name, int(self._memory[name]))
        count = len([name for name in self._memory if name.startswith("weight_")])
        self.best_weights = [self._memory[f"weight_{i}"] for i in range(count)] or None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Decides, and keeps what it knows."""
        super().on_epoch_end(epoch, logs)
        if self._folder is None or not self._writes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        best = {f"weight_{i}": weight for i, weight in enumerate(self.best_weights or [])}
        counts = {name: getattr(self, name) for name in _COUNTS}
        state: dict[str, Any] = {"best": self.best, **counts, **best}
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            np.savez(file, **state)
        pathlib.Path(file.name).replace(self._folder / _STATE.format(epoch=epoch))
        # The backup of this epoch is written after this: the one before may still be needed.
        (self._folder / _STATE.format(epoch=epoch - 2)).unlink(missing_ok=True)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keeps the best weights, as Keras does only if it stopped early."""
        super().on_train_end(logs)
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def forget(self) -> None:
        """Removes what was kept; after the backup, which would be resumed from without it."""
        if self._folder is not None and self._writes:
            for path in self._folder.glob(_STATE.format(epoch="*")):
                path.unlink(missing_ok=True)


class Heartbeat(keras.callbacks.Callback):
    """Touches a file while batches come to an end, so that a hung worker can be told."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = pathlib.Path(path)
        self._last = 0.0

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._last >= 1.0:
            self._path.touch()
            self._last = now

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Beats."""
        self._beat()

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Beats."""
        self._beat()
