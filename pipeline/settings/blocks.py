"""The smaller blocks of settings.yaml, each a model of its own."""

from typing import Annotated, Any, Literal

import pydantic

from components.distributed_trainer.settings import LoopbackWorkers, WorkersSettings
from components.ingest.durations import SignedDuration
from components.serving_gate.settings import ServingBudget
from pipeline.settings.canary import Canary
from pipeline.settings.fields import (
    FROZEN,
    Count,
    FolderName,
    Number,
    Positive,
    ProjectName,
    Switch,
    Text,
    Workers,
)
from pipeline.settings.sampling import Sampling

Task = Literal["binary", "multiclass", "regression"]


class Project(pydantic.BaseModel):
    """What the project is called: the pipeline's name."""

    model_config = FROZEN

    name: ProjectName


class Label(pydantic.BaseModel):
    """What is predicted.

    ``horizon`` is how far the label looks ahead; 0s where it is known at once.
    """

    model_config = FROZEN

    name: Text
    task: Task = "binary"
    horizon: Annotated[SignedDuration, pydantic.Field(ge=0)] = 0


class Communication(pydantic.BaseModel):
    """How several workers bring their gradients together; read by trainer/.

    ``implementation`` ``nccl`` is NVIDIA's library, between GPUs; ``ring`` TensorFlow's own, which
    CPUs have; ``auto`` takes what fits. ``bytes_per_pack`` packs gradients before they are sent; 0
    lets TensorFlow choose. A worker that does not answer for ``timeout_seconds`` ends training.
    """

    model_config = FROZEN

    implementation: Literal["auto", "ring", "nccl"] = "auto"
    bytes_per_pack: Annotated[int, pydantic.Field(strict=True, ge=0)] = 0
    timeout_seconds: Positive | None = None


class Training(pydantic.BaseModel):
    """How the model is trained; read by trainer/, where trainer.features.Training describes it.

    ``batch_size`` is of all workers and devices together. ``mixed_precision: true`` takes what the
    hardware is quicker with. ``profile: [10, 20]`` keeps a trace of these steps for TensorBoard.
    """

    model_config = FROZEN

    strategy: Literal["auto", "none", "mirrored", "multi_worker", "tpu"] = "auto"
    mixed_precision: Literal[False, True, "float16", "bfloat16"] = False
    xla: Switch = False
    deterministic: Switch = False
    cache: Switch = False
    profile: tuple[Count, Count] | None = None
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = "none"
    communication: Communication = Communication()
    epochs: Count = 10
    batch_size: Count = 256
    learning_rate: Annotated[Positive, pydantic.Field(le=10)] = 0.001
    hidden_layers: list[Count] = [64, 32]
    dropout: Annotated[Number, pydantic.Field(ge=0, lt=1)] = 0.1
    class_weights: Literal["balanced", "none"] = "balanced"
    early_stopping_patience: Annotated[int, pydantic.Field(strict=True, ge=0)] = 3
    seed: Annotated[int, pydantic.Field(strict=True, ge=0)] = 1
    workers: WorkersSettings = LoopbackWorkers()


class Metric(pydantic.BaseModel):
    """What a metric must reach, and how far it may fall behind the model that serves.

    ``min`` and ``may_drop`` fit metrics of which more is better, ``max`` and ``may_rise`` those of
    which less is better.
    """

    model_config = FROZEN

    min: Number | None = None
    max: Number | None = None
    may_drop: Annotated[Number, pydantic.Field(ge=0)] | None = None
    may_rise: Annotated[Number, pydantic.Field(ge=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _bounds_fit_together(self) -> "Metric":
        if self.min is not None and self.max is not None and not self.min < self.max:
            raise ValueError(f"expected min below max, not {self.min:g} and {self.max:g}")
        if self.may_drop is not None and self.may_rise is not None:
            raise ValueError(
                "may_drop and may_rise exclude each other: one says that more is better, the "
                "other that less is"
            )
        return self


class Evaluation(pydantic.BaseModel):
    """Which metrics decide, and on which slices they are reported."""

    model_config = FROZEN

    metrics: dict[Text, Metric] = {}
    slices: list[Annotated[list[Text], pydantic.Field(min_length=1)]] = []

    @pydantic.field_validator("metrics", mode="before")
    @classmethod
    def _metrics_may_be_bare(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: {} if bounds is None else bounds for name, bounds in value.items()}
        return value


def default_metrics(task: Any) -> dict[str, dict[str, float]]:
    """What is measured where settings name no metric.

    A model may score a hundredth less than the one that serves; regression has no such measure
    that fits every label's unit.

    Args:
      task: the label's; an unknown one has none.
    """
    defaults: dict[str, dict[str, dict[str, float]]] = {
        "binary": {"auc": {"may_drop": 0.01}, "auc_precision_recall": {}},
        "multiclass": {"accuracy": {"may_drop": 0.01}, "cross_entropy": {}},
        "regression": {"root_mean_squared_error": {}, "mean_absolute_error": {}},
    }
    return defaults.get(str(task), {})


class Serving(pydantic.BaseModel):
    """Where versions are released, and what the serving gate asks of them.

    ``model`` is what the served model is called; the project's name where it is left out. ``gate``
    says how a candidate is put under load; ``latency_p99_ms`` is what it must keep to then. A
    pushed version serves ``at_once``, or waits as a ``canary`` for `python -m pipeline rollout`,
    which tries it as ``canary`` says. ``sampling`` has the server keep some of what it is asked.
    """

    model_config = FROZEN

    model: FolderName
    directory: Text = "var/serving"
    keep_versions: Annotated[int, pydantic.Field(strict=True, ge=2, le=1_000)] = 5
    latency_p99_ms: Positive = 50.0
    rollout: Literal["at_once", "canary"] = "at_once"
    canary: Canary = Canary()
    gate: ServingBudget = ServingBudget()
    sampling: Sampling | None = None

    @property
    def model_directory(self) -> str:
        """The folder that holds the model's versions and their release record."""
        return f"{self.directory.rstrip('/')}/{self.model}"


class Run(pydantic.BaseModel):
    """Where a local run keeps its data, and how many processes work on it."""

    model_config = FROZEN

    directory: Text = "var"
    beam_workers: Workers = 1
    stages: Workers | None = None
    """How many stages may run at once; None for one a processor."""
