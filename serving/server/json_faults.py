"""Why a JSON value is no tensor, in TensorFlow Serving's words and order.

Its converter walks a body value by value and stops at the first that does not fit. This module does
so too, but only for bodies that the vectorised conversion refused.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from serving.server.errors import ServingError
from serving.server.json_text import invalid, quoted, type_name
from serving.server.signatures import TensorInfo
from serving.server.tensor_protos import MAX_RANK, STRING, dtype_name

_BITS: dict[np.dtype, tuple[int, int]] = {
    np.dtype("int64"): (-(2**63), 2**63 - 1),
    np.dtype("uint32"): (0, 2**32 - 1),
    np.dtype("uint64"): (0, 2**64 - 1),
    **{np.dtype(name): (-(2**31), 2**31 - 1) for name in ("int8", "int16", "int32", "uint8")},
}


def is_base64(value: Any) -> bool:
    """Whether a value is ``{"b64": "…"}``, so bytes and no object."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def decode_base64(value: Any) -> bytes:
    """The bytes of ``{"b64": "…"}``; padding may be left out.

    Raises:
      TypeError: if it is no such object.
      ServingError: INVALID_ARGUMENT, if the text is not base64.
    """
    if not is_base64(value):
        raise TypeError
    text = value["b64"].strip()
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def of_tensor(value: Any, dtype: np.dtype) -> ServingError:
    """What is wrong with a value that was to be one tensor."""
    shape = _shape(value)
    if len(shape) > MAX_RANK:
        return invalid(f"JSON Value: {quoted(value)} has more than {MAX_RANK} dimensions")
    try:
        _walk(value, 0, shape, dtype)
    except ServingError as error:
        return error
    return invalid(f"JSON Value: {quoted(value)} cannot be converted to {dtype_name(dtype)}")


def of_instances(instances: list[Any], specs: Mapping[str, TensorInfo]) -> ServingError:
    """What is wrong with an ``instances`` list."""
    first = instances[0]
    if type(first) is not dict and len(specs) > 1:
        return invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    objects = type(first) is dict and not is_base64(first)
    seen: dict[str, tuple[int, list[int]]] = {}
    for position, element in enumerate(instances):
        is_object = type(element) is dict and not is_base64(element)
        if objects and not is_object:
            return invalid(f"Expecting object but got list at item {position} of input list")
        if not objects and is_object:
            return invalid(f"Expecting value/list but got object at item {position} of input list")
        items = element if objects else {next(iter(specs)): element}
        for name, item in items.items():
            fault = _of_item(item, name, specs, seen)
            if fault is not None:
                key = f" key: {name}" if objects else ""
                return invalid(
                    f"Failed to process element: {position}{key} of 'instances' list. Error: "
                    f"{fault.code.name}: {fault.message}"
                )
        if objects and set(element) != set(specs):
            return invalid(
                f"Failed to process element: {position} of 'instances' list. JSON object: "
                f"{quoted(element)} keys must be equal to: {','.join(sorted(specs))}"
            )
    return invalid(f"JSON Value: {quoted(instances)} cannot be converted to tensors")


def _of_item(
    item: Any,
    name: str,
    specs: Mapping[str, TensorInfo],
    seen: dict[str, tuple[int, list[int]]],
) -> ServingError | None:
    if name not in specs:
        return invalid(f"JSON object: does not have named input: {name}")
    shape = _shape(item)
    if len(shape) >= MAX_RANK:
        return invalid(f"JSON Value: {quoted(item)} has more than {MAX_RANK - 1} dimensions")
    try:
        size = _walk(item, 0, shape, specs[name].dtype)
    except ServingError as error:
        return error
    size_before, shape_before = seen.setdefault(name, (size, shape))
    if size != size_before:
        return invalid(f"Expecting tensor size: {size_before} but got: {size}")
    if shape != shape_before:
        return invalid(f"Expecting shape {_text(shape_before)} but got: {_text(shape)}")
    return None


def _shape(value: Any) -> list[int]:
    shape = []
    while type(value) is list:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _text(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _walk(value: Any, level: int, shape: list[int], dtype: np.dtype) -> int:
    """Counts a value's leaves, or raises what does not fit first."""
    rank = len(shape)
    if type(value) is not list:
        if level != rank:
            raise invalid(
                f"JSON Value: {quoted(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        _check_leaf(value, dtype)
        return 1
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    return sum(_walk(element, level + 1, shape, dtype) for element in value)


def _check_leaf(value: Any, dtype: np.dtype) -> None:
    if dtype == STRING and type(value) is dict:
        if not is_base64(value):
            raise invalid(f"JSON Value: {quoted(value)} not formatted correctly for base64 data")
        decode_base64(value)
        return
    if dtype == STRING:
        fits = type(value) is str
    elif dtype in (np.float32, np.float64):
        fits = type(value) in (int, float)
    elif dtype == np.bool_:
        fits = type(value) is bool
    elif dtype in _BITS:
        low, high = _BITS[dtype]
        fits = type(value) is int and low <= value <= high
    elif type(value) is dict:
        fits = False
    else:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {quoted(value)} to type: {dtype_name(dtype)}",
        )
    if not fits:
        raise invalid(
            f"JSON Value: {quoted(value)} Type: {type_name(value)} is not of expected type: "
            f"{dtype_name(dtype)}"
        )
