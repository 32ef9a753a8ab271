"""tf.Examples of a request as the one input of a signature that parses them."""

import numpy as np
from tensorflow_serving.apis import input_pb2

from serving.server.json_text import invalid

INPUTS = "inputs"
"""The name of that input."""


def serialized(examples: input_pb2.Input) -> np.ndarray:
    """Examples as a model parses them, [batch] bytes.

    A context's bytes go before each example's: concatenated messages merge.

    Raises:
      ServingError: INVALID_ARGUMENT, if there are none.
    """
    if examples.WhichOneof("kind") == "example_list_with_context":
        context = examples.example_list_with_context.context.SerializeToString()
        rows = [
            context + example.SerializeToString()
            for example in examples.example_list_with_context.examples
        ]
    else:
        rows = [example.SerializeToString() for example in examples.example_list.examples]
    if not rows:
        raise invalid("Input is empty.")
    strings = np.empty(len(rows), object)
    strings[:] = rows
    return strings
