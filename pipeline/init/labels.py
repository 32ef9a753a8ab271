"""What a model could predict: a column, or an event within some hours."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

from components.ingest.durations import MICROSECONDS
from pipeline.init.facts import Column
from pipeline.init.judge import Part
from pipeline.settings.blocks import Task

CLASSES = 50
"""A column with more values is a number to estimate, or no label."""

_LABEL_NAME = re.compile(
    r"label|target|within_?\d|will_|fail(s|ed|ure)?($|_)|churn|fraud|outcome|remaining|(^|_)(rul|y)$",
    re.IGNORECASE,
)
_MAYBE_NAME = re.compile(
    r"quality|class|grade|result|status|defect|yield|demand|sales|price|energy|consumption|output|"
    r"wear|load|risk",
    re.IGNORECASE,
)
_EVENT_NAME = re.compile(r"fail|breakdown|outage|churn|accident|defect|trip", re.IGNORECASE)
_MAYBE_EVENT_NAME = re.compile(r"fault|incident|alarm|stop|claim|error|maint", re.IGNORECASE)
_CODE_NAME = re.compile(r"(code|id|nr)$", re.IGNORECASE)
_HORIZON = re.compile(
    r"(?:within|next|in|ahead)_?(\d+)_?(m|min|h|hours?|d|days?)($|_)", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that could be predicted.

    Attributes:
      part: the table that holds it.
      column: its column; None for "an event of this table comes".
      score: how much its name speaks for it; 0 where it doesn't.
    """

    part: Part
    column: str | None
    score: float

    def __str__(self) -> str:
        table = self.part.table.name
        return f"column {table}.{self.column}" if self.column else f"an event of {table} comes"


def candidates(parts: Sequence[Part]) -> list[Candidate]:
    """What could be predicted, the likeliest first."""
    return sorted(_candidates(parts), key=lambda candidate: -candidate.score)


def task_of(column: Column, counted: dict[Any, int]) -> Task | None:
    """Which task a label's column asks for.

    Args:
      column: the column.
      counted: how often each of its values comes, from ``database.classes``.

    Returns:
      None if it is none: constant, or text of too many values.
    """
    if len(counted) < 2:
        return None
    if column.kind in ("bool", "int", "float") and set(counted) <= {0, 1}:
        return "binary"
    if column.kind == "text":
        return "multiclass" if len(counted) <= CLASSES else None
    if column.kind == "int":
        return "multiclass" if len(counted) <= 12 else "regression"
    return "regression" if column.kind == "float" else None


def horizon_in(name: str) -> int:
    """How far a label's name says that it looks ahead, microseconds; 0 where it doesn't."""
    match = _HORIZON.search(name)
    return int(match[1]) * MICROSECONDS[match[2][0].lower()] if match else 0


def _candidates(parts: Sequence[Part]) -> Iterable[Candidate]:
    for part in parts:
        if part.role == "attributes":
            continue
        name = part.table.name
        told = bool(_EVENT_NAME.search(name))
        if part.role == "events":
            yield Candidate(part, None, 3.0 if told else 1.5 * bool(_MAYBE_EVENT_NAME.search(name)))
        for column in part.table.columns.values():
            if _may_be_label(column, part):
                likely = 4.0 * bool(_LABEL_NAME.search(column.name))
                likely = likely or 2.0 * bool(_MAYBE_NAME.search(column.name))
                likely -= 0.5 * bool(likely and _CODE_NAME.search(column.name))
                # What a failure's row tells is no label: the row itself is.
                yield Candidate(part, column.name, 0.0 if told else likely)


def _may_be_label(column: Column, part: Part) -> bool:
    table = part.table
    if column.name in (part.entity, *table.key) or column.refers or column.distinct < 2:
        return False
    if column.kind == "text":
        return column.distinct <= CLASSES
    return column.kind in ("bool", "int", "float") and not (
        column.kind == "int" and column.unique and len(column.values) > CLASSES
    )
