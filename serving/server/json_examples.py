"""REST classify and regress bodies: a list of examples, as tf.Example."""

from collections.abc import Mapping
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import input_pb2

from serving.server.json_faults import decode_base64, is_base64
from serving.server.json_text import invalid, quoted, type_name

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(document: Mapping[str, Any]) -> input_pb2.Input:
    """Converts a classify or regress request's body.

    Args:
      document: ``{"examples": [{feature: value or list}, …], "context": {…}}``.

    Raises:
      ServingError: INVALID_ARGUMENT with TensorFlow Serving's message.
    """
    request = input_pb2.Input()
    context = document.get("context")
    if "context" in document:
        request.example_list_with_context.context.CopyFrom(_example(context))
        examples = request.example_list_with_context.examples
    else:
        examples = request.example_list.examples
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {quoted(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    rows = document["examples"]
    if type(rows) is not list:
        raise invalid(
            f"JSON Value: {quoted(document)} Expecting 'examples' value to be an list/array"
        )
    if not rows:
        raise invalid(f"JSON Value: {quoted(document)} 'examples' value is an empty array")
    examples.extend(_example(row) for row in rows)
    return request


def _example(row: Any) -> example_pb2.Example:
    if type(row) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {type_name(row)}")
    example = example_pb2.Example()
    for name, content in row.items():
        feature = example.features.feature[name]
        for value in content if type(content) is list else [content]:
            _add(name, value, feature)
    return example


def _add(name: str, value: Any, feature: feature_pb2.Feature) -> None:
    if type(value) is str:
        _values(name, feature, "bytes_list").append(value.encode("utf-8", "surrogateescape"))
    elif is_base64(value):
        _values(name, feature, "bytes_list").append(decode_base64(value))
    elif type(value) is float:
        _values(name, feature, "float_list").append(value)
    elif type(value) in (int, bool):
        values = _values(name, feature, "int64_list")
        if not -(2**63) <= value < 2**63:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        values.append(int(value))
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _values(name: str, feature: feature_pb2.Feature, kind: str) -> Any:
    """The feature's list; a feature holds values of one kind."""
    held = feature.WhichOneof("kind")
    if held not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[held]}")
    return getattr(feature, kind).value
