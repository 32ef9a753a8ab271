"""Settings of the search: what stands under ``tuning:`` in settings.yaml."""

from typing import Annotated, Any, Literal

import pydantic

from components.ingest.fields import FROZEN, Count, Number, Positive, Switch, Text

Parameter = Literal[
    "learning_rate", "batch_size", "hidden_layers", "dropout", "epochs", "class_weights"
]
WHOLE = ("batch_size", "epochs")
"""Parameters that are whole numbers."""

_Bound = Annotated[int, pydantic.Field(strict=True)] | Number


class Range(pydantic.BaseModel):
    """Numbers from ``min`` to ``max``, both included; with ``log`` each decade is as likely."""

    model_config = FROZEN

    min: _Bound
    max: _Bound
    log: Switch = False

    @pydantic.model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if not self.min < self.max:
            raise ValueError(f"expected min below max, not {self.min:g} and {self.max:g}")
        if self.log and self.min <= 0:
            raise ValueError(f"expected min above 0 where log is true, not {self.min:g}")
        return self


Choices = Annotated[list[Any], pydantic.Field(min_length=1)]
Allowed = Annotated[
    Annotated[Range, pydantic.Tag("range")] | Annotated[Choices, pydantic.Tag("choices")],
    pydantic.Discriminator(lambda value: "choices" if isinstance(value, list) else "range"),
]
"""What a hyperparameter may be: ``{min, max, log}``, or a list of values."""


class Tuning(pydantic.BaseModel):
    """How hyperparameters are searched for.

    Attributes:
      trials: how many are tried, the settings' own values first.
      parallel: how many are drawn at once from what is known by then, and run side by side as far
        as cores allow. A result depends on this number, not on the machine's cores.
      seconds: after so long no further trials are drawn.
      trial_seconds: a trial that takes longer is ended and counts as failed.
      validation: the share of the train split's examples that trials are measured on.
      max_examples: of a larger train split, trials take about so many examples.
      prune: whether a trial that is worse than the median of those before is ended early.
      seed: of the search; trials train with ``training.seed``.
      directory: where an interrupted search is kept, to go on from there.
      space: what is searched, by the name that it has under ``training``.
    """

    model_config = FROZEN

    trials: Annotated[int, pydantic.Field(strict=True, ge=1, le=1000)] = 20
    parallel: Annotated[int, pydantic.Field(strict=True, ge=1, le=64)] = 4
    seconds: Positive = 3600.0
    trial_seconds: Positive = 900.0
    validation: Annotated[float, pydantic.Field(strict=True, gt=0, lt=1)] = 0.2
    max_examples: Count = 200_000
    prune: Switch = True
    seed: Annotated[int, pydantic.Field(strict=True, ge=0)] = 1
    directory: Text = "var/tuning"
    space: Annotated[dict[Parameter, Allowed], pydantic.Field(min_length=1)] = {
        "learning_rate": Range(min=0.0001, max=0.01, log=True),
        "batch_size": [128, 256, 512],
        "hidden_layers": [[32], [64, 32], [128, 64], [64, 64, 32]],
        "dropout": Range(min=0.0, max=0.5),
    }


class TunerSettings(Tuning):
    """What the component is given: how to search, and what it must know of the data.

    Attributes:
      metric: a name of ``components.model_evaluator.metrics``.
      better: which way that is better.
      split: whether train and eval part by ``time`` or by ``entity``, so do a trial's parts.
      time: the column of the observation's time, int64 microseconds.
      entity: the column of its entity.
      horizon: how far the label looks ahead, microseconds.
    """

    metric: str
    better: Literal["higher", "lower"]
    split: Literal["time", "entity"]
    time: str
    entity: str
    horizon: int
