import grpc
import hypothesis
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.server.errors import ServingError
from serving.server.tensor_protos import dtype_name, to_array, to_proto

FEW = hypothesis.settings(max_examples=60, deadline=None)
DTYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
    "uint32", "uint64", "bool", "complex64", "complex128",
)  # fmt: skip


def proto_of(shape, dtype=types_pb2.DT_FLOAT, **fields) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return proto


@FEW
@hypothesis.given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))
    )
)
def test_arrays_come_back_and_tensorflow_agrees(array):
    import tensorflow as tf

    proto = to_proto(array)
    for found in (to_array("x", proto), tf.make_ndarray(proto)):
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
    np.testing.assert_array_equal(to_array("x", tf.make_tensor_proto(array)), array)


@FEW
@hypothesis.given(st.lists(st.binary(max_size=10), max_size=5))
def test_strings_come_back(values):
    array = np.empty(len(values), object)
    array[:] = values
    assert to_array("x", to_proto(array)).tolist() == values


def test_content_is_not_copied():
    content = np.arange(4, dtype=np.float32).tobytes()
    found = to_array("x", proto_of([2, 2], tensor_content=content))
    assert found.tolist() == [[0, 1], [2, 3]]
    assert not found.flags.writeable


def test_the_last_value_is_repeated():
    assert to_array("x", proto_of([3], float_val=[1, 2])).tolist() == [1, 2, 2]
    assert to_array("x", proto_of([2])).tolist() == [0, 0]
    strings = proto_of([2], types_pb2.DT_STRING)
    assert to_array("x", strings).tolist() == [b"", b""]


@pytest.mark.parametrize(
    "proto",
    [
        proto_of([2], float_val=[1, 2, 3]),
        proto_of([2], tensor_content=b"123"),
        proto_of([-1], float_val=[1]),
        proto_of([1 << 20, 1 << 20], float_val=[1]),
        proto_of([1] * 40, float_val=[1]),
    ],
)
def test_parts_that_do_not_fit(proto):
    with pytest.raises(ServingError) as raised:
        to_array("x", proto)
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message.startswith("tensor parsing error: x")


def test_types_that_requests_do_not_carry():
    with pytest.raises(ServingError) as raised:
        to_array("x", proto_of([], types_pb2.DT_VARIANT))
    assert raised.value.code == grpc.StatusCode.UNIMPLEMENTED


def test_names():
    assert dtype_name(np.dtype("float32")) == "float"
    assert dtype_name(np.dtype(object)) == "string"
