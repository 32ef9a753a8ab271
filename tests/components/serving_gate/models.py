"""A model small enough to save in a test, and rows to ask it with."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.ingest import examples

ROWS = 60
Change = Callable[[Any], Any]


class Halves(tf.Module):
    """Half of x, plus two; what ``change`` makes of it goes out."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.half = tf.Variable(0.5)
        self.change = change

    def outputs(self, x: Any) -> dict[str, Any]:
        x = tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)
        return {"predictions": self.change(x * self.half + 2.0)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: Any) -> dict[str, Any]:
        nan = float("nan")
        spec = {"x": tf.io.FixedLenFeature([], tf.float32, nan)}
        return self.outputs(tf.io.parse_example(examples, spec)["x"])

    @tf.function(
        input_signature=[
            {
                "x": tf.TensorSpec(None, tf.float64, name="x"),
                "model": tf.TensorSpec(None, tf.string, name="model"),
            }
        ]
    )
    def columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        return self.outputs(tf.cast(columns["x"], tf.float32))


def records() -> list[bytes]:
    """Serialized examples; some miss their number or their text."""
    x = np.linspace(-3, 3, ROWS)
    holes = pa.array([None if i % 7 == 0 else v for i, v in enumerate(x)], pa.float32())
    models = pa.array(["a", None, "b"] * (ROWS // 3), pa.string())
    return examples.encode(pa.record_batch([holes, models], names=["x", "model"]))
