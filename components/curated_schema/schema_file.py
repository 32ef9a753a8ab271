"""Reading ``schemas/schema.pbtxt`` and what the rest of the project asks of it.

Needs neither TFX nor TensorFlow.
"""

import hashlib
import os
import pathlib
import re
from typing import Literal, NamedTuple

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

TRAINING = "TRAINING"
SERVING = "SERVING"

ColumnType = Literal["int", "float", "bytes"]

_TYPES: dict[int, ColumnType] = {
    schema_pb2.INT: "int",
    schema_pb2.FLOAT: "float",
    schema_pb2.BYTES: "bytes",
}
_UNUSED = (
    schema_pb2.DEPRECATED,
    schema_pb2.PLANNED,
    schema_pb2.DISABLED,
    schema_pb2.DEBUG_ONLY,
)


class SchemaError(Exception):
    """A schema file that is missing or cannot be read; the message says how to mend it."""


class Column(NamedTuple):
    """What the model may know of a column from the schema.

    Attributes:
      type: what tf.Examples hold.
      many: whether a row may hold more than one value.
      categorical: whether ints are categories.
    """

    type: ColumnType
    many: bool = False
    categorical: bool = False


def parse_schema(text: str, name: str) -> schema_pb2.Schema:
    """Reads a schema from its text form.

    Args:
      text: the protobuf text.
      name: what messages call it.

    Raises:
      SchemaError: if it isn't a schema, or one without features or with a feature twice.
    """
    schema = schema_pb2.Schema()
    try:
        text_format.Parse(text, schema)
    except text_format.ParseError as error:
        place = f"{name}, line {error.GetLine()}" if error.GetLine() else name
        # Protobuf's message repeats the place, and sometimes the whole line.
        message = re.sub(r"^[\d:]* ?: ('.*': )?", "", str(error), flags=re.DOTALL)
        raise SchemaError(f"{place}: {message}") from None
    if not schema.feature:
        raise SchemaError(f"{name}: no feature stands in it. {_BOOTSTRAP}")
    seen: set[str] = set()
    for feature in schema.feature:
        if feature.name in seen:
            raise SchemaError(f"{name}: feature {feature.name!r} stands in it twice; drop one")
        seen.add(feature.name)
    domains = {domain.name for domain in schema.string_domain}
    for feature in schema.feature:
        if feature.domain and feature.domain not in domains:
            raise SchemaError(
                f"{name}: feature {feature.name!r} has domain {feature.domain!r}, which no "
                "string_domain bears"
            )
    return schema


_BOOTSTRAP = (
    "Make one with `python -m pipeline schema infer`, look at it, then "
    "`python -m pipeline schema accept`"
)


def read_schema(path: str | os.PathLike[str]) -> schema_pb2.Schema:
    """Reads a schema file.

    Raises:
      SchemaError: if it is missing, unreadable or no schema.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SchemaError(f"{path}: there is no schema yet. {_BOOTSTRAP}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path}: cannot be read: {error}") from None
    return parse_schema(text, str(path))


def columns(schema: schema_pb2.Schema) -> dict[str, Column]:
    """The columns that the schema says are in the data, in its order.

    Deprecated, planned and disabled features are left out, and so are those without a type.
    """
    return {
        feature.name: Column(
            _TYPES[feature.type], _many(feature), feature.int_domain.is_categorical
        )
        for feature in schema.feature
        if feature.lifecycle_stage not in _UNUSED and feature.type in _TYPES
    }


def _many(feature: schema_pb2.Feature) -> bool:
    kind = feature.WhichOneof("shape_type")
    if kind == "value_count":
        return feature.value_count.max != 1
    if kind == "shape":
        return any(dim.size != 1 for dim in feature.shape.dim)
    return kind is not None


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Fingerprint of the schema's content: 16 hexadecimal digits, the same for the same bytes.

    A missing file has a fingerprint too, so that a pipeline can be built without one.
    """
    file = pathlib.Path(path)
    content = file.read_bytes() if file.is_file() else b""
    return hashlib.sha256(content).hexdigest()[:16]


def hand_on(path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Copies a schema file, byte for byte, once it has proved to be a schema.

    Args:
      path: the curated schema.
      folder: where to put it, as ``schema.pbtxt``; made if need be.

    Returns:
      The copy.

    Raises:
      SchemaError: if it is missing, unreadable or no schema.
    """
    read_schema(path)
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "schema.pbtxt"
    copy.write_bytes(path.read_bytes())
    return copy
