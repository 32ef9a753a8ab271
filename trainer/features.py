"""Which column is which kind of feature, what the model predicts, and how it is trained.

Transform and Trainer hand on ``custom_config={"config": {...}}``; this module reads that
dictionary. It imports no TensorFlow, so that settings can be checked with it in no time.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

Task = Literal["binary", "multiclass", "regression"]
Strategy = Literal["none", "auto", "mirrored", "multi_worker", "tpu"]
ClassWeights = Literal["balanced", "none"]
Scaling = Literal["none", "linear", "sqrt"]
Implementation = Literal["auto", "ring", "nccl"]

SCALED_FROM = 256
"""The batch size for which ``learning_rate`` holds where it is scaled."""

QUANTILES = 32
"""Boundaries that a numeric feature's quantile scale is drawn with."""

# Names of the transformed features. Each is a vector over the raw features, in the order of
# Config: one analyzer a group instead of one a column makes Transform several times faster.
NUMERIC = "numeric"
"""float32 [numeric]: z-scores, 0 where missing, clipped to ±CLIP."""
RANK = "rank"
"""float32 [numeric]: place among the training data's quantiles, 0 to 1; 0.5 where missing."""
MISSING = "missing"
"""float32 [numeric]: 1 where the value is missing, else 0."""
CATEGORICAL = "categorical"
"""int64 [categorical + bucketized]: 0 where missing, then the vocabulary, then its oov buckets."""
LABEL = "label"
"""float32 [1] for binary and regression; int64 [1], -1 if unseen in training, for multiclass."""
LABEL_VOCABULARY = "label_vocabulary"

CLIP = 10.0


@dataclasses.dataclass(frozen=True)
class Categorical:
    """A text or integer column whose values are names.

    The ``vocabulary`` most frequent values get an index each; the others are hashed into
    ``oov_buckets``, or count as missing if there is none.
    """

    name: str
    vocabulary: int = 1000
    oov_buckets: int = 1

    @property
    def vocabulary_file(self) -> str:
        """The name that Transform keeps the vocabulary under."""
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-.") else "_" for c in self.name)
        return f"vocabulary_{safe}"


@dataclasses.dataclass(frozen=True)
class Bucketized:
    """A numeric column that is cut into ``buckets`` of equally many training examples."""

    name: str
    buckets: int = 10


@dataclasses.dataclass(frozen=True)
class Communication:
    """How several workers bring their gradients together.

    Attributes:
      implementation: ``nccl`` is NVIDIA's library, between GPUs; ``ring`` TensorFlow's own over
        gRPC, which CPUs have; ``auto`` takes what fits.
      bytes_per_pack: gradients are sent in packs of so many bytes; 0 lets TensorFlow choose.
      timeout_seconds: after which a worker that does not answer ends training; None waits.
    """

    implementation: Implementation = "auto"
    bytes_per_pack: int = 0
    timeout_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Training:
    """How the model is trained; the defaults are measured in docs/decisions/007-model.md.

    Attributes:
      batch_size: of all workers and devices together, so that their number changes nothing else.
      learning_rate_scaling: ``linear`` (Goyal et al. 2017) multiplies the rate by
        batch_size / SCALED_FROM, ``sqrt`` (Krizhevsky 2014) by its root; the rate is then the one
        for a batch of SCALED_FROM.
      mixed_precision: float16 or bfloat16 in the layers, float32 in weights and loss; True takes
        the one that the hardware is quicker with, or none.
      xla: compiles each step with XLA.
      profile: the first and last step of which TensorFlow Profiler keeps a trace.
      deterministic: makes each operation give the same bits every time, which costs speed.
      cache: keeps examples that are too many for memory on a local disk once they are parsed, which
        takes about as much of it as they would of memory.
    """

    strategy: Strategy = "auto"
    mixed_precision: bool | Literal["float16", "bfloat16"] = False
    xla: bool = False
    deterministic: bool = False
    cache: bool = False
    profile: tuple[int, int] | None = None
    learning_rate_scaling: Scaling = "none"
    communication: Communication = Communication()
    epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 0.001
    hidden_layers: tuple[int, ...] = (64, 32)
    dropout: float = 0.1
    class_weights: ClassWeights = "balanced"
    early_stopping_patience: int = 3
    seed: int = 1

    def __post_init__(self) -> None:
        for name, kind in (
            ("strategy", Strategy),
            ("class_weights", ClassWeights),
            ("learning_rate_scaling", Scaling),
        ):
            _check_choice(f"training.{name}", getattr(self, name), get_args(kind))
        for name in ("epochs", "batch_size"):
            _check(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        _check(self.learning_rate > 0, "training.learning_rate", self.learning_rate, "above 0")
        _check(0 <= self.dropout < 1, "training.dropout", self.dropout, "from 0 to below 1")

    @property
    def scaled_learning_rate(self) -> float:
        """The learning rate for this batch size."""
        times = self.batch_size / SCALED_FROM
        factors = {"none": 1.0, "linear": times, "sqrt": math.sqrt(times)}
        return self.learning_rate * factors[self.learning_rate_scaling]


@dataclasses.dataclass(frozen=True)
class Config:
    """All that the trainer is told.

    Attributes:
      label: the label's column.
      task: what kind of prediction it is.
      numeric: columns used as numbers.
      categorical: columns used as names.
      bucketized: numeric columns used as names of ranges.
      training: how to train.
    """

    label: str
    task: Task
    numeric: tuple[str, ...]
    categorical: tuple[Categorical, ...]
    bucketized: tuple[Bucketized, ...]
    training: Training

    @classmethod
    def read(
        cls,
        custom_config: Mapping[str, Any] | None,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> "Config":
        """Reads the components' ``custom_config``.

        Args:
          custom_config: what Transform and Trainer are given.
          hyperparameters: what Tuner found; its ``values`` replace those of ``training``.

        Raises:
          ValueError: if a key is missing or unknown, or a value out of bounds.
        """
        config = (custom_config or {}).get("config")
        if not isinstance(config, Mapping):
            raise ValueError(
                "custom_config['config'] is missing: expected label, features, training"
            )
        label, features = config["label"], config.get("features", {})
        _check_choice("label.task", label["task"], get_args(Task))
        training = {**config.get("training", {}), **(hyperparameters or {}).get("values", {})}
        if "hidden_layers" in training:
            training["hidden_layers"] = tuple(training["hidden_layers"])
        if training.get("profile"):
            training["profile"] = tuple(training["profile"])
        if "communication" in training:
            training["communication"] = Communication(**training["communication"])
        known = [field.name for field in dataclasses.fields(Training)]
        for name in training:
            _check_choice("a key of training", name, tuple(known))
        result = cls(
            label=label["name"],
            task=label["task"],
            numeric=tuple(features.get("numeric", ())),
            categorical=tuple(
                Categorical(name, **options)
                for name, options in features.get("categorical", {}).items()
            ),
            bucketized=tuple(
                Bucketized(name, **options)
                for name, options in features.get("bucketized", {}).items()
            ),
            training=Training(**training),
        )
        if not result.raw:
            raise ValueError("features is empty: name at least one numeric or categorical column")
        if result.label in result.raw:
            raise ValueError(f"features names the label {result.label!r}: the answer would leak")
        return result

    @property
    def raw(self) -> tuple[str, ...]:
        """The columns that a prediction needs, each once."""
        names = (
            *self.numeric,
            *(c.name for c in self.categorical),
            *(b.name for b in self.bucketized),
        )
        return tuple(dict.fromkeys(names))


def _check(good: bool, name: str, value: object, rule: str) -> None:
    if not good:
        raise ValueError(f"{name} is {value!r}: expected {rule}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    _check(value in choices, name, value, f"one of {', '.join(choices)}")
