"""Outputs of a model as the JSON that TensorFlow Serving's REST API answers.

Numbers are written as short as they read back the same; NaN, Infinity and -Infinity as they are.
It differs from TensorFlow Serving in spaces and line ends only.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving.server.json_tensors import row_names, strings_to_json
from serving.server.json_text import invalid
from serving.server.tensor_protos import dtype_name

_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_WRITTEN = {
    np.dtype(name)
    for name in (
        "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64",
        "bool", "object",
    )
}  # fmt: skip


def write_predict(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Writes a predict request's answer.

    Args:
      outputs: by name.
      rows: whether as ``predictions``, a value or an object a row, or as ``outputs``.

    Raises:
      ServingError: INVALID_ARGUMENT, if the outputs cannot be told in that form.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    for array in outputs.values():
        if array.dtype not in _WRITTEN:
            raise invalid(f"Failed to write JSON value for tensor type: {dtype_name(array.dtype)}")
    names = row_names(outputs) if rows else list(outputs)
    values = {name: _value(name, outputs[name]) for name in names}
    shown: Any
    if len(values) == 1:
        (shown,) = values.values()
    elif rows:
        columns = [list(column) for column in values.values()]
        shown = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    else:
        shown = values
    key = "predictions" if rows else "outputs"
    if all(map(_finite, outputs.values())):
        return orjson.dumps({key: shown}, option=_NUMPY)
    return _with_nan({key: _plain(shown)})


def write_classification(result: classification_pb2.ClassificationResult) -> bytes:
    """Writes ``{"results": [[[label, score], …], …]}``.

    Raises:
      ServingError: INVALID_ARGUMENT, if it is empty.
    """
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = [
        [
            [entry.label, score]
            for entry, score in zip(
                row.classes, _shortest([entry.score for entry in row.classes]), strict=True
            )
        ]
        for row in result.classifications
    ]
    return _with_nan({"results": rows})


def write_regression(result: regression_pb2.RegressionResult) -> bytes:
    """Writes ``{"results": [value, …]}``.

    Raises:
      ServingError: INVALID_ARGUMENT, if it is empty.
    """
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _with_nan({"results": _shortest([entry.value for entry in result.regressions])})


def write_error(message: str) -> bytes:
    """Writes ``{"error": …}``."""
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()})


def _with_nan(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _shortest(values: Sequence[float] | np.ndarray) -> list[float]:
    """float32 values, 1-D, as those Python floats that print as short as float32 allows."""
    return [float(text) for text in np.asarray(values, np.float32).astype("U32").tolist()]


def _value(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        return strings_to_json(name, array)
    if array.ndim == 0:
        return array[()]
    return np.ascontiguousarray(array)


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _plain(value: Any) -> Any:
    """Python's own values for those of numpy, inside lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, np.ndarray):
        if value.dtype == np.float32:
            return np.array(_shortest(value.reshape(-1))).reshape(value.shape).tolist()
        return value.tolist()
    if isinstance(value, np.float32):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value
