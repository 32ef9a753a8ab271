"""What the join is told: sources, label and split, as one JSON text."""

import re
from typing import Annotated, Literal

import pydantic

from components.ingest.durations import SignedDuration
from components.ingest.fields import FROZEN, Text
from components.ingest.kinds import AnySource
from components.ingest.sources import SqlSource
from components.ingest.split import Split

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def _not_negative(value: int) -> int:
    if value < 0:
        raise ValueError("expected a duration of zero or above, such as '24h'")
    return value


def _source_name(value: str) -> str:
    # It becomes part of an input's key and of feature names; Kubeflow Pipelines allows no more.
    if not _NAME.fullmatch(value):
        raise ValueError("expected a name of letters, digits and '_' that begins with a letter")
    return value


class JoinLabel(pydantic.BaseModel):
    """The label: a column of the spine. Without ``task``, floats are taken for a regression."""

    model_config = FROZEN

    name: Text
    task: Literal["binary", "multiclass", "regression"] | None = None


class JoinSettings(pydantic.BaseModel):
    """Settings of PointInTimeJoin.

    ``name`` is the spine's, for messages and the report. ``horizon`` is how far the label looks
    ahead; ``'0s'`` where it is known at once. ``label`` may be the column's name alone.
    """

    model_config = FROZEN

    name: str = "observations"
    spine: SqlSource
    sources: dict[Annotated[str, pydantic.AfterValidator(_source_name)], AnySource] = {}
    split: Split
    horizon: Annotated[SignedDuration, pydantic.AfterValidator(_not_negative)] = 0
    label: JoinLabel

    @pydantic.field_validator("label", mode="before")
    @classmethod
    def _name_alone_is_enough(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value
