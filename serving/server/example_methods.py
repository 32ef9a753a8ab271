"""Classify and Regress: examples in, classes with scores or one number out.

Any signature will do whose names are those of the methods: one input ``inputs``; outputs
``classes`` or ``scores`` or both; output ``outputs``. The checks, their order and their words are
TensorFlow Serving's (servables/tensorflow/classifier.cc, regressor.cc, util.cc).
"""

import dataclasses

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from serving.server.core import Core, Target
from serving.server.exchange import Answer
from serving.server.json_text import invalid
from serving.server.serialized_examples import INPUTS, serialized
from serving.server.tensor_protos import dtype_name

CLASSES, SCORES, OUTPUTS = "classes", "scores", "outputs"
_DEFAULT = "serving_default"


async def classify(
    core: Core, target: Target, examples: input_pb2.Input, deadline: float | None
) -> tuple[Answer, classification_pb2.ClassificationResult]:
    """Classifies examples.

    Args:
      core: what holds the models.
      target: the model and its signature.
      examples: with or without a context, whose features each example gets.
      deadline: a ``time.monotonic()`` value.

    Raises:
      ServingError: if there are no examples, or the signature is not for classification.
    """
    pinned, definition = _definition(core, target)
    _check_classify(definition)
    rows = serialized(examples)
    answer = await core.predict(pinned, {INPUTS: rows}, deadline=deadline)
    classes, scores = answer.outputs.get(CLASSES), answer.outputs.get(SCORES)
    _check_matrix("classes", classes, np.dtype(object), len(rows))
    _check_matrix("scores", scores, np.dtype(np.float32), len(rows))
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = classification_pb2.ClassificationResult()
    labels = None if classes is None else classes.tolist()
    numbers = None if scores is None else scores.tolist()
    for row in range(len(rows)):
        found = result.classifications.add().classes
        for column in range(len((labels or numbers or [[]])[row])):
            entry = found.add()
            if labels is not None:
                entry.label = labels[row][column].decode("utf-8", "replace")
            if numbers is not None:
                entry.score = numbers[row][column]
    return answer, result


async def regress(
    core: Core, target: Target, examples: input_pb2.Input, deadline: float | None
) -> tuple[Answer, regression_pb2.RegressionResult]:
    """Regresses examples; arguments and errors as of ``classify``."""
    pinned, definition = _definition(core, target)
    _check_regress(definition)
    rows = serialized(examples)
    answer = await core.predict(pinned, {INPUTS: rows}, deadline=deadline)
    values = answer.outputs[OUTPUTS]
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape(values)}"
        )
    if values.shape[0] != len(rows):
        raise invalid(
            f"Input batch size did not match output batch size: {len(rows)} vs. {values.shape[0]}"
        )
    if values.dtype != np.float32:
        raise invalid(
            f"Expected output Tensor of DT_FLOAT.  Got: DT_{dtype_name(values.dtype).upper()}"
        )
    result = regression_pb2.RegressionResult()
    for value in values.reshape(-1).tolist():
        result.regressions.add().value = value
    return answer, result


def _definition(core: Core, target: Target) -> tuple[Target, meta_graph_pb2.SignatureDef]:
    """The signature asked for, and the target with the version that it was read from."""
    pinned = core.pin(target)
    _, definitions = core.signature_defs(pinned)
    name = target.signature or _DEFAULT
    if name not in definitions:
        raise invalid(f"No signature was found with the name: {name}")
    return dataclasses.replace(pinned, signature=name), definitions[name]


def _check_classify(definition: meta_graph_pb2.SignatureDef) -> None:
    _check_one_input(definition)
    if len(definition.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(definition.outputs)}")
    if INPUTS not in definition.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {definition}")
    if CLASSES not in definition.outputs and SCORES not in definition.outputs:
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature was: {definition}'
        )


def _check_regress(definition: meta_graph_pb2.SignatureDef) -> None:
    _check_one_input(definition)
    if len(definition.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    for name, what, held in (
        (INPUTS, "inputs", definition.inputs),
        (OUTPUTS, "outputs", definition.outputs),
    ):
        if name not in held:
            raise invalid(f"No regression {what} found in SignatureDef: {definition}")


def _check_one_input(definition: meta_graph_pb2.SignatureDef) -> None:
    if len(definition.inputs) != 1:
        raise invalid("Expected one input Tensor.")


def _check_matrix(name: str, array: np.ndarray | None, dtype: np.dtype, rows: int) -> None:
    if array is None:
        return
    if array.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    if array.dtype != dtype:
        raise invalid(
            f"Expected {name} Tensor of DT_{dtype_name(dtype).upper()}. Got: "
            f"DT_{dtype_name(array.dtype).upper()}"
        )
    if array.shape[0] != rows:
        raise invalid(f"Expected {name} output batch size of {rows}. Got: {array.shape[0]}")


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"
