"""REST predict bodies to numpy by a signature, and answers back to JSON.

The formats are those of TensorFlow Serving's REST API, "Request format" and "Encoding binary
values": rows (``instances`` → ``predictions``) and columns (``inputs`` → ``outputs``). What fits
is converted column by column in C; only a body that does not fit is walked value by value
(``json_faults``), to say what TensorFlow Serving says of it.
"""

import base64
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.server import json_faults
from serving.server.errors import ServingError
from serving.server.json_text import invalid, quoted
from serving.server.signatures import Signature, TensorInfo
from serving.server.tensor_protos import MAX_RANK, STRING

_SIGNED = {np.dtype(f"int{bits}") for bits in (8, 16, 32)} | {np.dtype("uint8")}
_LIMITS: dict[np.dtype, tuple[int, int]] = {
    np.dtype("uint32"): (0, 2**32 - 1),
    np.dtype("uint64"): (0, 2**64 - 1),
    np.dtype("int64"): (-(2**63), 2**63 - 1),
    **dict.fromkeys(_SIGNED, (-(2**31), 2**31 - 1)),
}
_NUMBERS = {int, float}
_TEXTS = {str, dict}


@dataclasses.dataclass(frozen=True)
class PredictBody:
    """A predict request out of JSON.

    Attributes:
      inputs: by name; the batch is dimension 0.
      rows: whether it came as ``instances``, so that rows go back.
    """

    inputs: Mapping[str, np.ndarray]
    rows: bool


class _UnfitError(Exception):
    """A value that does not fit; ``json_faults`` says why."""


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a body asks for; "" if it names none.

    Raises:
      ServingError: INVALID_ARGUMENT, if the name is no string.
    """
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {quoted(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    return name


def read_predict(document: Mapping[str, Any], signature: Signature) -> PredictBody:
    """Converts a predict request's body.

    Args:
      document: the body.
      signature: what the model takes.

    Raises:
      ServingError: INVALID_ARGUMENT with TensorFlow Serving's message, if it does not fit;
        UNIMPLEMENTED for types that JSON requests cannot carry.
    """
    specs = signature.inputs
    if not specs:
        raise invalid(f"Failed to get input map for signature: {signature.name or 'DEFAULT'}")
    if "instances" in document:
        if "inputs" in document:
            raise invalid(
                f"JSON Value: {quoted(document)} Not formatted correctly expecting only one of "
                "'inputs' or 'instances' keys to exist "
            )
        instances = document["instances"]
        if type(instances) is not list:
            raise invalid(
                f"JSON Value: {quoted(document)} Expecting 'instances' to be an list/array"
            )
        if not instances:
            raise invalid(f"JSON Value: {quoted(document)} No values in 'instances' array")
        try:
            return PredictBody(_rows(instances, specs), rows=True)
        except _UnfitError:
            raise json_faults.of_instances(instances, specs) from None
    if "inputs" in document:
        return PredictBody(_columns(document["inputs"], specs), rows=False)
    raise invalid("Missing 'inputs' or 'instances' key")


def _rows(instances: list[Any], specs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    first = instances[0]
    if type(first) is dict and not json_faults.is_base64(first):
        if set(map(type, instances)) != {dict} or set(map(len, instances)) != {len(specs)}:
            raise _UnfitError
        try:
            columns = {name: [row[name] for row in instances] for name in specs}
        except KeyError:
            raise _UnfitError from None
        return {name: _array(column, specs[name]) for name, column in columns.items()}
    if len(specs) > 1 and type(first) is not dict:
        raise _UnfitError
    ((name, spec),) = list(specs.items())[:1]
    return {name: _array(instances, spec)}


def _columns(value: Any, specs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if type(value) is dict and not json_faults.is_base64(value):
        for name in specs:
            if name not in value:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        columns = {name: value[name] for name in specs}
    elif len(specs) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    else:
        columns = {next(iter(specs)): value}
    arrays = {}
    for name, column in columns.items():
        try:
            arrays[name] = _array(column, specs[name])
        except _UnfitError:
            raise json_faults.of_tensor(column, specs[name].dtype) from None
    return arrays


def _array(value: Any, spec: TensorInfo) -> np.ndarray:
    """A value of any nesting as an array.

    Raises:
      _UnfitError: if it is ragged, mixes types or holds other values than the type's.
    """
    shape: list[int] = []
    values = [value]
    while values and type(values[0]) is list:
        if set(map(type, values)) != {list} or len(set(map(len, values))) != 1:
            raise _UnfitError
        shape.append(len(values[0]))
        values = list(itertools.chain.from_iterable(values))
    if len(shape) > MAX_RANK:
        raise _UnfitError
    return _flat(values, set(map(type, values)), spec.dtype).reshape(shape)


def _flat(values: list[Any], types: set[type], dtype: np.dtype) -> np.ndarray:
    if dtype == STRING:
        if not types <= _TEXTS:
            raise _UnfitError
        strings = np.empty(len(values), object)
        strings[:] = _texts(values, types)
        return strings
    if dtype in (np.float32, np.float64):
        if not types <= _NUMBERS:
            raise _UnfitError
        with np.errstate(over="ignore"):
            return np.array(values, np.float64).astype(dtype)
    if dtype == np.bool_:
        if not types <= {bool}:
            raise _UnfitError
        return np.array(values, np.bool_)
    if dtype not in _LIMITS or not types <= {int}:
        raise _UnfitError
    low, high = _LIMITS[dtype]
    if values and (min(values) < low or max(values) > high):
        raise _UnfitError
    wide = np.uint64 if dtype == np.uint64 else np.int64
    return np.array(values, wide).astype(dtype)


def _texts(values: list[Any], types: set[type]) -> list[bytes]:
    try:
        if dict not in types:
            return [value.encode("utf-8", "surrogateescape") for value in values]
        return [
            value.encode("utf-8", "surrogateescape")
            if type(value) is str
            else json_faults.decode_base64(value)
            for value in values
        ]
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    except (TypeError, ServingError):
        raise _UnfitError from None


def strings_to_json(name: str, array: np.ndarray) -> Any:
    """Strings as JSON values, of the array's nesting.

    Args:
      name: the output's: what ends in ``_bytes`` goes as ``{"b64": …}``, the rest as text.
      array: bytes.
    """
    flat = array.reshape(-1).tolist()
    shown: list[Any]
    if name.endswith("_bytes"):
        shown = [{"b64": base64.b64encode(value).decode("ascii")} for value in flat]
    else:
        shown = [value.decode("utf-8", "replace") for value in flat]
    for size in reversed(array.shape[1:]):
        if size == 0:
            return np.empty(array.shape).tolist()
        shown = [shown[begin : begin + size] for begin in range(0, len(shown), size)]
    return shown if array.ndim else shown[0]


def row_names(outputs: Mapping[str, np.ndarray]) -> Sequence[str]:
    """Checks that outputs can go back as rows.

    Returns:
      Their names.

    Raises:
      ServingError: INVALID_ARGUMENT, if one has no batch dimension or another batch size.
    """
    batch = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch >= 0 and batch != array.shape[0]:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {batch}"
            )
        batch = array.shape[0]
    return list(outputs)
