"""Judging columns: what each is used as, or why it is left out."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.init.facts import Column, Table

VOCABULARY = 1_000
"""A text column with more values in its sample is an id or free text."""

_ID_NAME = re.compile(r"(^|_)(id|nr|uuid|guid|serial|key)$|[a-z](ID|Id)$", re.IGNORECASE)
_CODE_NAME = re.compile(r"(^|_)(code|type|kind|class|category|line|site|zone)$", re.IGNORECASE)
_MANY = 50
_LONG = 40


class Use(NamedTuple):
    """What becomes of a column.

    Attributes:
      source: the table or the sensor files.
      column: its name.
      use: what it is used as; empty where it is left out.
      reason: why, in a few words.
    """

    source: str
    column: str
    use: str
    reason: str


def feature(table: Table, column: Column) -> tuple[str, str]:
    """What a column of the spine, or of an attributes' table, is as a feature.

    Returns:
      ``numeric``, ``categorical`` or nothing, and why.
    """
    if why := unfit(table, column):
        return "", why
    if column.kind == "text":
        return "categorical", f"text, {column.distinct} value{'s' * (column.distinct > 1)}"
    named = _CODE_NAME.search(column.name) or _is_id(column)
    if column.kind == "int" and column.distinct <= _MANY and named:
        return "categorical", f"numbers that stand for {column.distinct} kinds"
    return "numeric", column.kind or ""


def unfit(table: Table, column: Column) -> str:
    """Why a column can't tell a model anything; empty if it can."""
    if column.kind == "time":
        return "a time: ages and hours belong into the query"
    if column.kind not in ("int", "float", "bool", "text"):
        return f"of type {column.declared.lower() or 'unknown'}, which has no place in a feature"
    if not len(column.known):
        return "no value in the sample"
    if column.distinct == 1 and not column.missing:
        return f"constant: always {_shown(column.known[0])}"
    if column.refers is not None:
        return f"an id: refers to {column.refers[0]}"
    if "JSON" in column.declared:
        return "JSON: its parts can be columns of a query"
    many = column.distinct > _MANY or column.unique
    if table.key == (column.name,) or (many and _is_id(column)):
        return "an id"
    if column.kind == "int" and column.unique and len(column.values) > _MANY:
        return "all distinct: an id or a counter"
    if column.kind == "text":
        return _unfit_text(column)
    return ""


def leak(label: Column, column: Column) -> str:
    """How a column gives its row's label away; empty if it doesn't.

    Sampled values of both columns are held against each other row by row: a copy in other words,
    a column that is filled in for some classes and never for others, or a number that follows it.

    Args:
      label: the label's column.
      column: another one of the same table.
    """
    if len(label.values) < 30:
        return ""
    if label.kind == "float" and column.kind in ("int", "float"):
        pair = pc.and_(label.values.is_valid(), column.values.is_valid())
        one, other = (np.asarray(c.values.filter(pair).cast(pa.float64())) for c in (label, column))
        varies = len(one) >= 30 and one.std() > 0 and other.std() > 0
        follows = varies and abs(float(np.corrcoef(one, other)[0, 1])) > 0.9999
        return "leaks: it follows the label exactly" if follows else ""
    if label.distinct > _MANY:
        return ""
    labels, values = label.values.to_pylist(), column.values.to_pylist()
    pairs = len(set(zip(labels, values, strict=True)))
    if pairs == column.distinct == label.distinct > 1 and not column.missing:
        return "leaks: it is the label in other words"
    filled = {(one, value is None) for one, value in zip(labels, values, strict=True)}
    if 0 < column.missing < len(values) and len(filled) == label.distinct > 1:
        return "leaks: it is filled in for some classes only"
    return ""


def ahead(time: Column, other: Column) -> str:
    """Why a second time of the spine is left out."""
    later = pc.any(pc.greater(other.values, time.values)).as_py()
    return "lies after the observation" if later else "a time: ages belong into the query"


def number_columns(table: Table, but: Sequence[str]) -> tuple[list[Column], list[Use]]:
    """The columns of readings in a telemetry table, and what becomes of all others.

    Args:
      table: the table.
      but: columns with a part of their own: entity and times.
    """
    channels, uses = [], []
    for column in table.columns.values():
        if column.name in but:
            continue
        why = unfit(table, column)
        if not why and column.kind == "text":
            why = "text: windows sum up numbers"
        if not why:
            channels.append(column)
        uses.append(Use(table.name, column.name, "" if why else "channel", why or "a reading"))
    return channels, uses


def _is_id(column: Column) -> bool:
    return column.kind != "float" and bool(_ID_NAME.search(column.name))


def _unfit_text(column: Column) -> str:
    length = pc.mean(pc.utf8_length(column.known.cast(pa.string()))).as_py()
    if column.distinct > _MANY and column.distinct > 0.5 * len(column.known):
        return "free text or an id: nearly every row has its own"
    if length > _LONG:
        return "free text"
    if column.unique and len(column.values) > 5:
        return "all distinct: an id or a name"
    if column.distinct > VOCABULARY:
        return f"over {VOCABULARY:,} different values"
    return ""


def _shown(value: pa.Scalar) -> str:
    text = str(value.as_py())
    return text if len(text) <= 20 else f"{text[:19]}…"
