"""Which time a run's examples come from, and how they part into train and eval.

With ``by: time`` everything is counted back from ``as_of``::

    train_begin      train_end      eval_begin      eval_end        as_of
        |── train ──────|── embargo ──|── eval ────────|── horizon ────|

Labels look ``horizon`` ahead: the last horizon before ``as_of`` has no settled labels and is left
out, and a horizon lies between train and eval so that no training label looks into eval.
"""

import dataclasses
from typing import Annotated, Literal

import pydantic

from components.ingest.durations import Duration, parse_duration, parse_instant
from components.ingest.fields import FROZEN


class TimeSplit(pydantic.BaseModel):
    """Train on an earlier stretch of time, evaluate on a later one."""

    model_config = FROZEN

    by: Literal["time"]
    train: Duration
    eval: Duration


class EntitySplit(pydantic.BaseModel):
    """Train on some entities, evaluate on others, over the same stretch of time.

    ``eval`` is the share of entities held out; ``window`` the stretch counted back from ``as_of``.
    """

    model_config = FROZEN

    by: Literal["entity"]
    window: Duration
    eval: Annotated[float, pydantic.Field(gt=0, lt=1)]
    salt: str = ""


Split = Annotated[TimeSplit | EntitySplit, pydantic.Field(discriminator="by")]


@dataclasses.dataclass(frozen=True)
class DataWindow:
    """The instants that bound a run's examples, microseconds since the epoch, ends excluded.

    With an entity split both pairs are the same.
    """

    as_of: int
    train_begin: int
    train_end: int
    eval_begin: int
    eval_end: int

    @property
    def begin(self) -> int:
        """The earliest observation."""
        return self.train_begin

    @property
    def end(self) -> int:
        """The instant before which every observation lies."""
        return self.eval_end


def data_window(as_of: int, split: TimeSplit | EntitySplit, horizon: int) -> DataWindow:
    """Places the split in time.

    Args:
      as_of: the instant at which the run pretends to stand, microseconds since the epoch.
      split: how examples part.
      horizon: how far labels look ahead, microseconds; 0 where labels are known at once.
    """
    eval_end = as_of - horizon
    if isinstance(split, EntitySplit):
        begin = eval_end - split.window
        return DataWindow(as_of, begin, eval_end, begin, eval_end)
    eval_begin = eval_end - split.eval
    train_end = eval_begin - horizon
    return DataWindow(as_of, train_end - split.train, train_end, eval_begin, eval_end)


def read_window(as_of: str, split: str, horizon: str) -> DataWindow:
    """Places the split in time, from a component's parameters.

    Args:
      as_of: an ISO 8601 time.
      split: a TimeSplit or EntitySplit as JSON.
      horizon: a duration such as ``'24h'``.
    """
    parsed = pydantic.TypeAdapter(Split).validate_json(split)
    return data_window(parse_instant(as_of), parsed, parse_duration(horizon))
