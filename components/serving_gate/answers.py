"""What a candidate answers: called in process, over REST and over gRPC, and how they differ."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from tensorflow_serving.apis import predict_pb2

from components.serving_gate.requests import COLUMNS, EXAMPLES, Request

Outputs = Mapping[str, npt.NDArray[np.generic]]


class InProcess:
    """The candidate called in this process: what its served answers are compared with.

    Raises:
      OSError, ValueError: if TensorFlow cannot load it.
    """

    def __init__(self, model: Path) -> None:
        import tensorflow as tf

        self._model = tf.saved_model.load(str(model))
        if EXAMPLES not in self._model.signatures:
            names = ", ".join(sorted(self._model.signatures)) or "none"
            raise ValueError(f"the model has no signature {EXAMPLES}; it has {names}")

    @property
    def columns(self) -> dict[str, str] | None:
        """The inputs of ``predict_columns`` and their types, such as DT_INT64; None without it."""
        from tensorflow.core.framework import types_pb2

        if COLUMNS not in self._model.signatures:
            return None
        _, inputs = self._model.signatures[COLUMNS].structured_input_signature
        name_of = types_pb2.DataType.Name
        return {name: name_of(spec.dtype.as_datatype_enum) for name, spec in inputs.items()}

    def answer(self, request: Request) -> Outputs:
        """The outputs for a request's rows."""
        import tensorflow as tf

        inputs = {name: tf.constant(values) for name, values in request.inputs.items()}
        outputs = self._model.signatures[request.signature](**inputs)
        return {name: value.numpy() for name, value in outputs.items()}


def from_grpc(answer: bytes) -> Outputs:
    """The outputs of a serialized PredictResponse."""
    import tensorflow as tf

    response = predict_pb2.PredictResponse.FromString(answer)
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def rest_body(request: Request) -> bytes:
    """A request for serialized examples as TensorFlow Serving's REST API takes it."""
    texts = [{"b64": base64.b64encode(text).decode()} for text in request.inputs["examples"]]
    return orjson.dumps({"signature_name": request.signature, "instances": texts})


def from_rest(answer: bytes, like: Outputs) -> Outputs:
    """The outputs of a REST answer.

    Args:
      answer: its body.
      like: outputs whose names and types it should have.

    Raises:
      ValueError: if the body is not what a prediction looks like.
    """
    try:
        rows: list[Any] = orjson.loads(answer)["predictions"]
        if len(like) == 1:
            (name,) = like
            rows = [{name: row} for row in rows]
        return {name: _array([row[name] for row in rows], like[name].dtype) for name in like}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"not a prediction ({error!r}): {answer[:200]!r}") from None


def faults(expected: Outputs, got: Outputs, rows: int, tolerance: float) -> list[str]:
    """What is wrong with an answer, a clause each; none if it is right.

    Args:
      expected: the answer in process.
      got: the served one.
      rows: how many rows were asked for.
      tolerance: what numbers may differ by, relative to the larger of 1 and their size.
    """
    if set(got) != set(expected):
        return [f"outputs are {_names(got)}, and {_names(expected)} in process"]
    found = []
    for name in sorted(expected):
        found += _output_faults(name, expected[name], got[name], rows, tolerance)
    return found


def _output_faults(
    name: str,
    wanted: npt.NDArray[Any],
    value: npt.NDArray[Any],
    rows: int,
    tolerance: float,
) -> list[str]:
    if value.shape[:1] != (rows,):
        return [f"output {name} has shape {list(value.shape)} for {rows} rows"]
    if value.shape != wanted.shape:
        shapes = f"{list(value.shape)}, and {list(wanted.shape)} in process"
        return [f"output {name} has shape {shapes}"]
    if wanted.dtype.kind not in "fiub":
        wrong = np.flatnonzero((value != wanted).reshape(rows, -1).any(axis=1))
        return [_differs(name, wanted, value, wrong)] if len(wrong) else []
    infinite = np.flatnonzero((~np.isfinite(value.astype(float))).reshape(rows, -1).any(axis=1))
    if len(infinite):
        row = int(infinite[0])
        return [f"output {name} is {value[row]} in row {row} ({len(infinite)} of {rows} rows)"]
    off = np.abs(value.astype(float) - wanted) > tolerance * np.maximum(1, np.abs(wanted))
    wrong = np.flatnonzero(off.reshape(rows, -1).any(axis=1))
    return [_differs(name, wanted, value, wrong)] if len(wrong) else []


def _differs(
    name: str, wanted: npt.NDArray[Any], value: npt.NDArray[Any], wrong: npt.NDArray[np.intp]
) -> str:
    row = int(wrong[0])
    return (
        f"output {name} is {value[row]} in row {row}, and {wanted[row]} in process "
        f"({len(wrong)} of {len(value)} rows)"
    )


def _array(values: list[Any], dtype: np.dtype) -> npt.NDArray[Any]:
    if dtype == np.dtype(object):
        # Texts may stand in lists: a classifier answers with all of its classes in each row.
        encode = np.vectorize(lambda value: str(value).encode(), otypes=[object])
        texts: npt.NDArray[Any] = encode(np.array(values, object))
        return texts
    return np.array(values, dtype)


def _names(outputs: Outputs) -> str:
    return ", ".join(sorted(outputs)) or "none"
