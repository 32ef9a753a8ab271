import json

import grpc
import hypothesis
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import strategies as st

from serving.server.errors import ServingError
from serving.server.json_answers import write_error, write_predict
from serving.server.json_tensors import read_predict, signature_name
from serving.server.json_text import parse_object, quoted
from serving.server.signatures import Signature, TensorInfo

FEW = hypothesis.settings(max_examples=60, deadline=None)
DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")


def signature(**dtypes: str) -> Signature:
    infos = {name: TensorInfo(name, np.dtype(dtype), None) for name, dtype in dtypes.items()}
    return Signature("serving_default", "", infos, {})


FLOAT, STRING = signature(x="float32"), signature(s="object")
TWO = signature(a="int64", b="object")
ELEMENT = "Failed to process element: "


def read(body: bytes, of: Signature):
    return read_predict(parse_object(body), of)


@pytest.mark.parametrize(
    ("body", "of", "rows", "expected"),
    [
        (b'{"instances": [1, 2.5]}', FLOAT, True, {"x": [1, 2.5]}),
        (b'{"instances": [[1, 2], [3, 4]]}', FLOAT, True, {"x": [[1, 2], [3, 4]]}),
        (b'{"instances": [{"x": 1}, {"x": 2}]}', FLOAT, True, {"x": [1, 2]}),
        (b'{"instances": [[], []]}', FLOAT, True, {"x": [[], []]}),
        (b'{"instances": [-Infinity, Infinity]}', FLOAT, True, {"x": [-np.inf, np.inf]}),
        (b'{"instances": [1]} and more', FLOAT, True, {"x": [1]}),
        (b'{"inputs": [1, 2]}', FLOAT, False, {"x": [1, 2]}),
        (b'{"inputs": {"x": [1, 2]}}', FLOAT, False, {"x": [1, 2]}),
        (b'{"inputs": {"x": [1], "other": 1}}', FLOAT, False, {"x": [1]}),
        (b'{"inputs": 3}', FLOAT, False, {"x": 3}),
        (b'{"instances": ["a", {"b64": "AAE="}]}', STRING, True, {"s": [b"a", b"\x00\x01"]}),
        (b'{"instances": [{"b64": "AAE"}]}', STRING, True, {"s": [b"\x00\x01"]}),
        (b'{"instances": ["\xff"]}', STRING, True, {"s": [b"\xff"]}),
        (
            b'{"instances": [{"a": 1, "b": "x"}, {"b": {"b64": ""}, "a": 2}]}',
            TWO,
            True,
            {"a": [1, 2], "b": [b"x", b""]},
        ),
    ],
)
def test_bodies_that_fit(body, of, rows, expected):
    found = read(body, of)
    assert found.rows == rows
    assert {name: array.tolist() for name, array in found.inputs.items()} == expected
    assert all(array.dtype == of.inputs[name].dtype for name, array in found.inputs.items())


@pytest.mark.parametrize(
    ("body", "of", "message"),
    [
        (b"", FLOAT, "JSON Parse error: The document is empty"),
        (b'{"instances": [1', FLOAT, "Missing a comma or ] after an array element. at offset: 16"),
        (b'{"a": 1 "b": 2}', FLOAT, "Missing a comma or } after an object member. at offset: 8"),
        (b'{"a" 1}', FLOAT, "Missing a colon after a name of object member. at offset: 5"),
        (b"{a: 1}", FLOAT, "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b'{"a": x}', FLOAT, "JSON Parse error: Invalid value. at offset: 6"),
        (b'{"a": "b', FLOAT, "Missing a closing quotation mark in string. at offset: 6"),
        (b'{"a": "\\q"}', FLOAT, "Invalid escape character in string. at offset: 7"),
        (b"[" * 100_000, FLOAT, "JSON Parse error: "),
        (b"[1, 2]", FLOAT, "JSON Value: [1, 2] Is not object"),
        (b"{}", FLOAT, "Missing 'inputs' or 'instances' key"),
        (b'{"instances": []}', FLOAT, "No values in 'instances' array"),
        (b'{"instances": 1}', FLOAT, "Expecting 'instances' to be an list/array"),
        (b'{"instances": [1], "inputs": 1}', FLOAT, "only one of 'inputs' or 'instances' keys"),
        (
            b'{"instances": ["one"]}',
            FLOAT,
            f"{ELEMENT}0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"one\" Type: "
            "String is not of expected type: float",
        ),
        (b'{"instances": [1, true]}', FLOAT, "JSON Value: true Type: True is not of expected"),
        (b'{"instances": [1, null]}', FLOAT, "JSON Value: null Type: Null is not of expected"),
        (b'{"instances": [1, [2]]}', FLOAT, "Expecting shape [] but got: [1]"),
        (b'{"instances": [[1], [2, 3]]}', FLOAT, "Expecting tensor size: 1 but got: 2"),
        (b'{"instances": [{"x": 1}, 2]}', FLOAT, "Expecting object but got list at item 1 of"),
        (b'{"instances": [2, {"x": 1}]}', FLOAT, "Expecting value/list but got object at item 1"),
        (
            b'{"instances": [{"y": 1}]}',
            FLOAT,
            f"{ELEMENT}0 key: y of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does "
            "not have named input: y",
        ),
        (b'{"instances": [{"x": 1, "y": 2}]}', FLOAT, "does not have named input: y"),
        (
            b'{"instances": [{"a": 1}]}',
            TWO,
            f"{ELEMENT}0 of 'instances' list. JSON object: {{\n    \"a\": 1\n}} keys must be equal "
            "to: a,b",
        ),
        (b'{"instances": [1]}', TWO, "instances is a plain list, but expecting list of objects"),
        (b'{"inputs": [1]}', TWO, "inputs is a plain value/list, but expecting an object"),
        (b'{"inputs": {"a": [1]}}', TWO, "Missing named input: b in 'inputs' object."),
        (b'{"inputs": [[1], [2, 3]]}', FLOAT, "list at unexpected size: 2 at level: 1 expected"),
        (b'{"inputs": [1, [2]]}', FLOAT, "Encountered list at unexpected level: 1 expected < 1"),
        (b'{"inputs": [[1], 2]}', FLOAT, "found at incorrect level: 2 in the JSON DOM. Expected"),
        (b'{"instances": [{"a": 1.5, "b": ""}]}', TWO, "JSON Value: 1.5 Type: Number is not of"),
        (b'{"instances": [3000000000]}', signature(x="int32"), "is not of expected type: int32"),
        (b'{"instances": [-1]}', signature(x="uint64"), "is not of expected type: uint64"),
        (b'{"instances": [{"b64": "?"}]}', STRING, "Unable to base64 decode"),
        (b'{"inputs": [{"b65": "?"}]}', STRING, "not formatted correctly for base64 data"),
        (b'{"instances": ["\\ud800"]}', STRING, "The surrogate pair in string is invalid."),
        (b'{"instances": ' + b"[" * 40 + b"]" * 40 + b"}", FLOAT, "dimensions"),
        (b'{"instances": [1]}', signature(), "Failed to get input map for signature: "),
    ],
)
def test_bodies_that_do_not_fit(body, of, message):
    with pytest.raises(ServingError) as raised:
        read(body, of)
    assert message in raised.value.message
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_type_that_json_cannot_carry():
    with pytest.raises(ServingError) as raised:
        read(b'{"inputs": [1]}', signature(x="float16"))
    assert raised.value.code == grpc.StatusCode.UNIMPLEMENTED
    assert raised.value.message == "Conversion of JSON Value: 1 to type: half"


def test_the_signature_is_a_string():
    assert signature_name({"signature_name": "columns"}) == "columns"
    assert signature_name({}) == ""
    with pytest.raises(ServingError) as raised:
        signature_name({"signature_name": 1})
    assert "'signature_name' key must be a string value." in raised.value.message


def test_a_quoted_value_is_cut():
    assert len(quoted({"x": list(range(100_000))})) < 300


@FEW
@hypothesis.given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=4, max_side=4))
    ),
    rows=st.booleans(),
)
def test_numbers_come_back_as_they_went(array, rows):
    answer = write_predict({"x": array}, rows)
    key, sent = ("predictions", "instances") if rows else ("outputs", "inputs")
    body = answer.replace(f'"{key}"'.encode(), f'"{sent}"'.encode(), 1)
    found = read(body, signature(x=str(array.dtype))).inputs["x"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@FEW
@hypothesis.given(
    values=st.lists(st.binary(max_size=20), min_size=1, max_size=6), rows=st.booleans()
)
def test_bytes_come_back_as_they_went(values, rows):
    array = np.empty(len(values), object)
    array[:] = values
    numbers = np.arange(len(values))
    answer = json.loads(write_predict({"v_bytes": array, "n": numbers}, rows))
    key, sent = ("predictions", "instances") if rows else ("outputs", "inputs")
    body = json.dumps({sent: answer[key]}).encode()
    found = read(body, signature(v_bytes="object", n="int64")).inputs
    assert found["v_bytes"].tolist() == values
    assert found["n"].tolist() == numbers.tolist()


def test_float32_is_written_short_also_beside_nan():
    array = np.array([0.1, np.nan, np.inf, -np.inf, 2], np.float32)
    assert write_predict({"y": array}, True) == (
        b'{"predictions":[0.1,NaN,Infinity,-Infinity,2.0]}'
    )
    assert write_predict({"y": array[:1]}, True) == b'{"predictions":[0.1]}'


def test_outputs_that_are_no_rows():
    with pytest.raises(ServingError) as raised:
        write_predict({"y": np.float32(1)[()] * np.ones((), np.float32)}, True)
    assert raised.value.message == "Tensor name: y has no shape information "
    with pytest.raises(ServingError) as raised:
        write_predict({"y": np.zeros(2), "z": np.zeros(3)}, True)
    assert "has inconsistent batch size: 3 expecting: 2" in raised.value.message
    with pytest.raises(ServingError) as raised:
        write_predict({"y": np.zeros(2, np.complex64)}, True)
    assert raised.value.message == "Failed to write JSON value for tensor type: complex64"


def test_an_error_is_an_object():
    assert json.loads(write_error('no "x"')) == {"error": 'no "x"'}
