"""TensorProto to numpy and back (tensorflow/core/framework/tensor.proto).

``tf.make_ndarray`` does the first too, but loads TensorFlow's Python side and copies content; and
like TensorFlow itself it lets a few bytes ask for any amount of memory.
"""

import dataclasses
import math
from collections.abc import Mapping

import grpc
import numpy as np
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2

from serving.server.errors import ServingError

MAX_BYTES = 1 << 30
"""What one tensor of a request may take, unpacked."""
MAX_RANK = 32
"""numpy's limit in its 1.x releases; TensorFlow's is 254."""
STRING = np.dtype(object)
"""The type of strings: objects that are bytes."""


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How a type's values lie in a TensorProto.

    Attributes:
      number: the DataType.
      dtype: the values in numpy; object for bytes.
      field: the field of single values.
      stored: what the field's values are read as before they are seen as ``dtype``.
    """

    number: int
    dtype: np.dtype
    field: str
    stored: np.dtype


def _encoding(name: str, dtype: str, field: str, stored: str = "") -> Encoding:
    return Encoding(
        types_pb2.DataType.Value(f"DT_{name}"), np.dtype(dtype), field, np.dtype(stored or dtype)
    )


_ENCODINGS = (
    _encoding("FLOAT", "float32", "float_val"),
    _encoding("DOUBLE", "float64", "double_val"),
    _encoding("INT32", "int32", "int_val"),
    _encoding("UINT8", "uint8", "int_val", "int32"),
    _encoding("INT16", "int16", "int_val", "int32"),
    _encoding("INT8", "int8", "int_val", "int32"),
    _encoding("UINT16", "uint16", "int_val", "int32"),
    _encoding("STRING", "object", "string_val"),
    _encoding("INT64", "int64", "int64_val"),
    _encoding("BOOL", "bool", "bool_val"),
    _encoding("UINT32", "uint32", "uint32_val"),
    _encoding("UINT64", "uint64", "uint64_val"),
    _encoding("HALF", "float16", "half_val", "int32"),
    _encoding("COMPLEX64", "complex64", "scomplex_val", "float32"),
    _encoding("COMPLEX128", "complex128", "dcomplex_val", "float64"),
)
_BY_NUMBER: Mapping[int, Encoding] = {encoding.number: encoding for encoding in _ENCODINGS}
_BY_DTYPE: Mapping[np.dtype, Encoding] = {encoding.dtype: encoding for encoding in _ENCODINGS}


def dtype_name(dtype: np.dtype) -> str:
    """What TensorFlow's messages call a type: float, int64, string …"""
    encoding = _BY_DTYPE.get(dtype)
    if encoding is None:
        return str(dtype)
    return types_pb2.DataType.Name(encoding.number)[3:].lower()


def to_array(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Reads a tensor.

    Args:
      name: the input's, for messages.
      proto: as TensorFlow reads it: with ``tensor_content``, or with single values of which the
        last one is repeated for those that are missing.

    Returns:
      The values; those of ``tensor_content`` are read-only and share its memory. Strings are
      objects: bytes.

    Raises:
      ServingError: INVALID_ARGUMENT, if the parts do not fit together or would take too much
        memory; UNIMPLEMENTED for types that models do not take from requests.
    """
    encoding = _BY_NUMBER.get(proto.dtype)
    if encoding is None:
        known = proto.dtype in types_pb2.DataType.values()
        kind = types_pb2.DataType.Name(proto.dtype) if known else proto.dtype
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED, f"tensor parsing error: {name} has type {kind}"
        )
    if proto.tensor_shape.unknown_rank:
        raise _unfit(name, "its shape is unknown")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise _unfit(name, f"its shape is {shape}")
    size = math.prod(shape)
    if size * encoding.dtype.itemsize > MAX_BYTES:
        raise _unfit(name, f"its shape {shape} would take more than {MAX_BYTES} bytes")
    if proto.tensor_content and encoding.dtype != STRING:
        content = proto.tensor_content
        if len(content) != size * encoding.dtype.itemsize:
            raise _unfit(name, f"{len(content)} bytes of content do not fit shape {shape}")
        return np.frombuffer(content, encoding.dtype).reshape(shape)
    values = _single_values(proto, encoding)
    if len(values) > size:
        raise _unfit(name, f"{len(values)} values do not fit shape {shape}")
    if len(values) < size:
        last = values[-1] if len(values) else (b"" if encoding.dtype == STRING else 0)
        padded = np.full(size, last, encoding.dtype)
        padded[: len(values)] = values
        values = padded
    return values.reshape(shape)


def to_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    """Writes a tensor with single values, as TensorFlow Serving answers.

    Clients read ``response.outputs[…].float_val``, so ``tensor_content`` would not do.

    Raises:
      ServingError: UNIMPLEMENTED for a type that has no place in a TensorProto.
    """
    encoding = _BY_DTYPE.get(array.dtype)
    if encoding is None:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED, f"no TensorProto for values of type {array.dtype}"
        )
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.dtype == np.float16:
        flat = flat.view(np.uint16)
    elif array.dtype.kind == "c":
        flat = flat.view(encoding.stored)
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in array.shape]
    )
    proto = tensor_pb2.TensorProto(dtype=encoding.number, tensor_shape=shape)
    getattr(proto, encoding.field).extend(flat.tolist())
    return proto


def _single_values(proto: tensor_pb2.TensorProto, encoding: Encoding) -> np.ndarray:
    field = getattr(proto, encoding.field)
    if encoding.dtype == STRING:
        strings = np.empty(len(field), object)
        strings[:] = list(field)
        return strings
    stored = np.array(field, encoding.stored)
    if encoding.dtype == np.float16:
        return stored.astype(np.uint16).view(np.float16)
    if encoding.dtype.kind == "c":
        return stored.view(encoding.dtype)
    return stored.astype(encoding.dtype, copy=False)


def _unfit(name: str, why: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"tensor parsing error: {name}: {why}")
