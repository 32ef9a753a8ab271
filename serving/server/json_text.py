"""JSON bodies as TensorFlow Serving reads them, and how its messages quote them.

Its parser is RapidJSON with NaN and Infinity allowed, what follows the first value ignored, and
UTF-8 not checked. orjson reads what is plain JSON; the rest is read again by the slower parser of
the standard library, which also knows where and why a text is malformed.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
import orjson

from serving.server.errors import ServingError

_SHOWN = 256
_DECODER = json.JSONDecoder()
_REASONS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def invalid(message: str) -> ServingError:
    """An INVALID_ARGUMENT error."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def parse_object(body: bytes) -> dict[str, Any]:
    """Reads a request's body.

    Args:
      body: JSON, UTF-8. Bytes that are not UTF-8 become lone surrogates, which
        ``str.encode("utf-8", "surrogateescape")`` turns back.

    Returns:
      The object at its top.

    Raises:
      ServingError: INVALID_ARGUMENT, if it is malformed or its top is no object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _parse_leniently(body)
    if type(document) is not dict:
        raise invalid(f"JSON Value: {quoted(document)} Is not object")
    return document


def _parse_leniently(body: bytes) -> Any:
    text = body.decode("utf-8", "surrogateescape")
    begin = len(text) - len(text.lstrip(" \t\r\n"))
    if begin == len(text):
        where = "" if not body else f".{_offset(text, begin)}"
        raise invalid(f"JSON Parse error: The document is empty{where}")
    try:
        return _DECODER.raw_decode(text, begin)[0]
    except json.JSONDecodeError as error:
        reason = _REASONS.get(error.msg) or _missing_comma(text, error.pos)
        raise invalid(f"JSON Parse error: {reason}{_offset(text, error.pos)}") from None
    except RecursionError:
        raise invalid(f"JSON Parse error: Unspecific syntax error.{_offset(text, 0)}") from None


def _offset(text: str, position: int) -> str:
    return f" at offset: {len(text[:position].encode('utf-8', 'surrogateescape'))}"


def _missing_comma(text: str, position: int) -> str:
    """Which of the two messages about a missing comma: in an object or in an array."""
    open_brackets: list[str] = []
    for match in _BRACKETS_AND_STRINGS.finditer(text, 0, position):
        token = match.group()
        if token in "[{":
            open_brackets.append(token)
        elif token in "]}" and open_brackets:
            open_brackets.pop()
    if open_brackets and open_brackets[-1] == "[":
        return "Missing a comma or ] after an array element."
    return "Missing a comma or } after an object member."


def type_name(value: Any) -> str:
    """What RapidJSON calls a value's type."""
    if value is None:
        return "Null"
    if value is True:
        return "True"
    if value is False:
        return "False"
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def quoted(value: Any) -> str:
    """A value as messages quote it: arrays on one line, objects on several, cut at 256 bytes."""
    shown: list[str] = []
    size = 0
    for token in _tokens(value, 0):
        shown.append(token)
        size += len(token.encode("utf-8", "replace"))
        if size >= _SHOWN:
            break
    return "".join(shown)


def _tokens(value: Any, depth: int) -> Iterator[str]:
    """The text of a value in pieces, so that a large one is not written out to be cut."""
    if type(value) is dict:
        if not value:
            yield "{}"
            return
        yield "{"
        for position, (key, member) in enumerate(value.items()):
            comma = "," if position else ""
            yield f"{comma}\n{'    ' * (depth + 1)}{json.dumps(key, ensure_ascii=False)}: "
            yield from _tokens(member, depth + 1)
        yield "\n" + "    " * depth + "}"
    elif type(value) is list:
        yield "["
        for position, element in enumerate(value):
            if position:
                yield ", "
            yield from _tokens(element, depth + 1)
        yield "]"
    else:
        yield json.dumps(value, ensure_ascii=False)
