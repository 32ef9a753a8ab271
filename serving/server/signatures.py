"""What a model takes and answers, read from its SavedModel."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework import dtypes

DEFAULT = "serving_default"
"""The signature of a request that names none."""

INITIALIZATION = "__saved_model_init_op"
"""A signature of the SavedModel format, not of the model."""


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output.

    Attributes:
      name: the tensor's name in the graph, such as ``serving_default_x:0``.
      dtype: its type; object for strings, which are bytes.
      shape: None for a dimension of any size; None as a whole if even the rank is open.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...] | None

    @property
    def batched(self) -> bool:
        """Whether dimension 0 may be a batch of any size."""
        return self.shape is None or (len(self.shape) > 0 and self.shape[0] is None)


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function of a model.

    Attributes:
      name: its key in the SavedModel.
      method: such as ``tensorflow/serving/predict``.
      inputs: by the name that a request gives them.
      outputs: by the name that an answer gives them.
    """

    name: str
    method: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]

    @property
    def batched(self) -> bool:
        """Whether the rows of several requests may be run as one."""
        return all(info.batched for info in (*self.inputs.values(), *self.outputs.values()))


def read_signatures(
    definitions: Mapping[str, meta_graph_pb2.SignatureDef],
) -> dict[str, Signature]:
    """Reads signatures.

    Args:
      definitions: those of a MetaGraphDef, by key.

    Returns:
      The signatures that a request may name, by key.
    """
    return {
        key: Signature(
            key,
            definition.method_name,
            {name: _tensor(info) for name, info in sorted(definition.inputs.items())},
            {name: _tensor(info) for name, info in sorted(definition.outputs.items())},
        )
        for key, definition in definitions.items()
        if key != INITIALIZATION
    }


def type_name(dtype: np.dtype) -> str:
    """A type as TensorFlow's messages name it, such as ``float`` or ``string``."""
    name = types_pb2.DataType.Name(dtypes.as_dtype(dtype).as_datatype_enum)
    return name.removeprefix("DT_").lower()


def _tensor(info: meta_graph_pb2.TensorInfo) -> TensorInfo:
    dtype = dtypes.as_dtype(info.dtype).as_numpy_dtype
    shape = info.tensor_shape
    dimensions = None
    if not shape.unknown_rank:
        dimensions = tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
    return TensorInfo(info.name, np.dtype(dtype), dimensions)
