"""Payloads into readings: JSON decoded, rows found, values picked by path; a column at a time."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

_WHOLE = r"^(?:0|-?[1-9]\d{0,17})$"
_CONVERSION = (pa.ArrowException, OverflowError, TypeError, ValueError)

Bad = dict[int, str]
"""By message, or reading, the reason why it can't be used."""


def decode(payloads: Sequence[bytes | None]) -> tuple[list[Any], Bad]:
    """Decodes JSON.

    Returns:
      The documents, None for what is none, and the reasons by message.
    """
    try:
        return list(map(orjson.loads, payloads)), {}  # type: ignore[arg-type]
    except orjson.JSONDecodeError:
        pass
    documents: list[Any] = []
    bad: Bad = {}
    for index, payload in enumerate(payloads):
        try:
            documents.append(orjson.loads(payload or b""))
        except orjson.JSONDecodeError:
            documents.append(None)
            bad[index] = "malformed" if payload else "empty"
    return documents, bad


def find_rows(
    documents: Sequence[Any], path: str | None, bad: Bad
) -> tuple[list[dict[str, Any]], npt.NDArray[np.int64], list[tuple[int, Any]]]:
    """The readings in documents.

    Args:
      documents: decoded payloads.
      path: where in each the array of readings stands; None for the document itself.
      bad: messages to leave out; those without readings are added.

    Returns:
      The readings, int64[n] which message each is from, and what is no object: the message and the
      value.
    """
    found = documents if path is None else pick(documents, path.split("."))
    kinds = set() if bad else set(map(type, found))
    if kinds == {dict}:
        return list(found), np.arange(len(found)), []
    if kinds == {list}:
        flat = list(itertools.chain.from_iterable(found))
        if set(map(type, flat)) == {dict}:
            return flat, np.repeat(np.arange(len(found)), list(map(len, found))), []
    rows: list[dict[str, Any]] = []
    of: list[int] = []
    foreign: list[tuple[int, Any]] = []
    for index, value in enumerate(found):
        if index in bad:
            continue
        if value is None and path is not None:
            bad[index] = "no_rows"
            continue
        for row in value if type(value) is list else [value]:
            if type(row) is dict:
                rows.append(row)
                of.append(index)
            else:
                foreign.append((index, row))
    return rows, np.array(of, np.int64), foreign


def pick(values: Sequence[Any], keys: Sequence[str]) -> list[Any]:
    """The value below a path of keys in each; None where there is none."""
    picked = list(values)
    for key in keys:
        picked = [value.get(key) if type(value) is dict else None for value in picked]
    return picked


def picker(path: str) -> Callable[[Sequence[Any], Sequence[Any], npt.NDArray[np.int64]], list[Any]]:
    """How a path's values are found, given readings, documents and which each reading is from."""
    if path.startswith("$."):
        keys = path[2:].split(".")

        def from_top(_: Any, documents: Sequence[Any], of: npt.NDArray[np.int64]) -> list[Any]:
            values = pick(documents, keys)
            return [values[index] for index in of.tolist()]

        return from_top
    return lambda rows, _, __: pick(rows, path.split("."))


def numbers_column(values: list[Any]) -> pa.Array:
    """Measured values: float64 or bool where all are such, else text as it was written."""
    for kind in (pa.float64(), pa.bool_()):
        try:
            return pa.array(values, kind)
        except _CONVERSION:
            continue
    return _text_column(values)


def number_columns(
    rows: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, pa.Array] | None:
    """Measured values of readings that are all numbers, in one go; else None."""
    try:
        found = pa.array(rows, pa.struct([(name, pa.float64()) for name in names]))
    except _CONVERSION:
        return None
    return dict(zip(names, found.flatten(), strict=True))


def keys_column(values: list[Any]) -> pa.Array:
    """Entities, names, units, times: whole numbers, fractions or text, whichever all are."""
    try:
        made = pa.array(values)
    except _CONVERSION:
        return _text_column(values)
    kind = made.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind):
        return made
    return _text_column(values)


def whole_numbers(column: pa.Array) -> pa.Array:
    """Text as whole numbers if all of it is, as in CSV files: ``7``, but not ``007``."""
    digits = pc.fill_null(pc.match_substring_regex(column, _WHOLE), True)
    return column.cast(pa.int64()) if pc.all(digits).as_py() else column


@functools.lru_cache(maxsize=65_536)
def topic_level(topic: str, level: int) -> str | None:
    """A level of a topic, counted from 0, from the end if below."""
    levels = topic.split("/")
    return levels[level] if -len(levels) <= level < len(levels) else None


def _text_column(values: list[Any]) -> pa.Array:
    return pa.array(
        [v if v is None or type(v) is str else _json_text(v) for v in values], pa.string()
    )


def _json_text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return "nested too deep"
