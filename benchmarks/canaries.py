"""Versions for trials of the rollout: good ones, and one for each way to be bad."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FEATURES = 8
OUTPUT = "probability"
GOOD = "good"
BAD = ("slow", "wrong", "constant", "failing", "hanging", "nan", "broken")
TOLERANCE = 0.05
"""By how much a right answer may differ: the good canary differs by less, as a retrained one."""
_HOUR = 3600.0


def rows(count: int) -> npt.NDArray[np.float32]:
    """Inputs, [count, 8]."""
    return np.random.default_rng(2).normal(size=(count, FEATURES)).astype(np.float32)


def right_answers(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What the stable version answers, [count]."""
    answers: npt.NDArray[np.float32] = 1 / (1 + np.exp(3 - inputs @ _weights()))
    return answers


def save(folder: Path, kind: str, slow_seconds: float) -> Path:
    """Saves a version as a SavedModel that takes ``x``, [None, 8], and answers [None].

    What makes it bad is in its graph, so that any server that loads it has it: ``slow`` sleeps and
    ``hanging`` does for an hour, in TensorFlow's SleepDataset and not in Python, ``failing`` holds
    an assertion that fails, ``broken`` has a saved_model.pb that is none.

    Args:
      folder: to make.
      kind: ``stable``, ``good`` or one of BAD.
      slow_seconds: what a call of the slow one takes.
    """
    if kind == "broken":
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"not a SavedModel")
        return folder
    import tensorflow as tf

    changes: dict[str, Callable[[Any], Any]] = {
        "stable": lambda y: y,
        "good": lambda y: y * 0.99,
        "slow": lambda y: _after(y, slow_seconds),
        "wrong": lambda y: tf.minimum(y + 0.3, 1.0),
        "constant": lambda y: y * 0.0 + 0.1,
        "failing": lambda y: _asserted(y),
        "hanging": lambda y: _after(y, _HOUR),
        "nan": lambda y: y * np.float32("nan"),
    }

    class Model(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(_weights())

        @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="x")])
        def score(self, x: Any) -> dict[str, Any]:
            return {OUTPUT: changes[kind](tf.sigmoid(tf.linalg.matvec(x, self.weights) - 3.0))}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.score})
    return folder


def _weights() -> npt.NDArray[np.float32]:
    return np.linspace(-1, 1, FEATURES, dtype=np.float32)


def _after(answers: Any, seconds: float) -> Any:
    """The same after a while in which no processor is used."""
    import tensorflow as tf

    once = tf.data.Dataset.from_tensors(answers)
    asleep = tf.raw_ops.SleepDataset(
        input_dataset=once._variant_tensor,
        sleep_microseconds=np.int64(seconds * 1e6 / 2),  # once for the value, once for the end
        output_types=[tf.float32],
        output_shapes=[[None]],
    )
    slept = tf.raw_ops.DatasetToSingleElement(
        dataset=asleep, output_types=[tf.float32], output_shapes=[[None]]
    )
    return slept[0]


def _asserted(answers: Any) -> Any:
    import tensorflow as tf

    with tf.control_dependencies([tf.debugging.assert_less(answers, -1.0, "this always fails")]):
        return tf.identity(answers)
