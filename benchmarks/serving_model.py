"""The model of the serving benchmarks: 20 numbers, layers of 128 and 64, one probability."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np

FEATURES = 20
_LAYERS = (128, 64, 1)
NAME = "plant"
OUTPUT = "probability"


@dataclasses.dataclass(frozen=True)
class Bodies:
    """Requests of one row each.

    Attributes:
      examples: serialized tf.Examples.
      columns: the same numbers, float32 of shape [1, 20].
    """

    examples: list[bytes]
    columns: list[np.ndarray]


def save(folder: Path, version: int, shift: float = 0.0) -> Path:
    """Saves it as a version with two signatures; both take a batch.

    ``serving_default`` parses serialized tf.Examples (``examples``), ``columns`` takes the numbers
    as they are (``x``, [None, 20]); both answer ``probability``, [None, 1].

    Args:
      folder: the model's folder.
      version: the version's number.
      shift: added to the last layer, so that versions answer differently.

    Returns:
      The version's folder, there only once it is whole.
    """
    import tensorflow as tf

    random = np.random.default_rng(1)
    sizes = (FEATURES, *_LAYERS)

    class Model(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = [
                tf.Variable(random.normal(0, 1 / np.sqrt(n), (n, m)).astype(np.float32))
                for n, m in itertools.pairwise(sizes)
            ]
            self.shift = tf.Variable(np.float32(shift))

        @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="x")])
        def columns(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            *hidden, last = self.weights
            for weight in hidden:
                x = tf.nn.relu(x @ weight)
            return {OUTPUT: tf.sigmoid(x @ last + self.shift)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serialized(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
            spec = {"x": tf.io.FixedLenFeature([FEATURES], tf.float32)}
            return self.columns(tf.io.parse_example(examples, spec)["x"])

    model, staged = Model(), folder / f"staged-{version}"
    tf.saved_model.save(
        model,
        str(staged),
        signatures={"serving_default": model.serialized, "columns": model.columns},
    )
    return staged.rename(folder / str(version))


def bodies(count: int = 100) -> Bodies:
    """Requests of random numbers."""
    import tensorflow as tf

    numbers = np.random.default_rng(2).normal(size=(count, 1, FEATURES)).astype(np.float32)
    return Bodies(
        [
            tf.train.Example(
                features=tf.train.Features(
                    feature={"x": tf.train.Feature(float_list=tf.train.FloatList(value=row[0]))}
                )
            ).SerializeToString()
            for row in numbers
        ],
        list(numbers),
    )


def messages(examples: list[bytes]) -> list[bytes]:
    """Serialized PredictRequests of one example each, so that making them is not measured."""
    from tensorflow_serving.apis import predict_pb2

    made = []
    for example in examples:
        message = predict_pb2.PredictRequest()
        message.model_spec.name = NAME
        tensor = message.inputs["examples"]
        tensor.dtype = 7  # DT_STRING
        tensor.tensor_shape.dim.add(size=1)
        tensor.string_val.append(example)
        made.append(message.SerializeToString())
    return made
