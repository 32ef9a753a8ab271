"""The metrics that ``evaluation.metrics`` may name. Imports neither TensorFlow nor TFMA.

==============================  ==========  ======  ==============================================
name                            task        better  what it is
==============================  ==========  ======  ==============================================
auc                             binary      higher  area under the ROC curve
auc_precision_recall            binary      higher  area under the precision-recall curve
binary_accuracy                 binary      higher  share classified right at probability 0.5
precision, recall, f1_score     binary      higher  of class 1 at probability 0.5
binary_cross_entropy            binary      lower   mean log loss
brier_score                     binary      lower   mean squared error of the probability
accuracy                        multiclass  higher  share whose likeliest class is right
cross_entropy                   multiclass  lower   mean log loss
mean_squared_error              regression  lower
root_mean_squared_error         regression  lower
mean_absolute_error             regression  lower
mean_absolute_percentage_error  regression  lower
squared_pearson_correlation     regression  higher  of prediction and label
calibration                     binary,     -       mean prediction over mean label; 1 is best
                                regression
mean_label, mean_prediction     binary,     -
                                regression
example_count                   all         -       how many examples were evaluated
==============================  ==========  ======  ==============================================
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Literal

Better = Literal["higher", "lower"]

THRESHOLDS = ("min", "max", "may_drop", "may_rise")
"""What a metric may be held to."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of TFMA's.

    Attributes:
      class_name: its class in TFMA, or in Keras where TFMA has none.
      tasks: the kinds of prediction it is for.
      better: which way is better; None if neither, as for a count.
    """

    class_name: str
    tasks: tuple[str, ...]
    better: Better | None = None


_BINARY, _MULTICLASS, _REGRESSION = ("binary",), ("multiclass",), ("regression",)

METRICS: dict[str, Metric] = {
    "auc": Metric("AUC", _BINARY, "higher"),
    "auc_precision_recall": Metric("AUCPrecisionRecall", _BINARY, "higher"),
    "binary_accuracy": Metric("BinaryAccuracy", _BINARY, "higher"),
    "precision": Metric("Precision", _BINARY, "higher"),
    "recall": Metric("Recall", _BINARY, "higher"),
    "f1_score": Metric("F1Score", _BINARY, "higher"),
    "binary_cross_entropy": Metric("BinaryCrossEntropy", _BINARY, "lower"),
    "brier_score": Metric("MeanSquaredError", _BINARY, "lower"),
    "accuracy": Metric("SparseCategoricalAccuracy", _MULTICLASS, "higher"),
    "cross_entropy": Metric("SparseCategoricalCrossentropy", _MULTICLASS, "lower"),
    "mean_squared_error": Metric("MeanSquaredError", _REGRESSION, "lower"),
    "root_mean_squared_error": Metric("RootMeanSquaredError", _REGRESSION, "lower"),
    "mean_absolute_error": Metric("MeanAbsoluteError", _REGRESSION, "lower"),
    "mean_absolute_percentage_error": Metric("MeanAbsolutePercentageError", _REGRESSION, "lower"),
    "squared_pearson_correlation": Metric("SquaredPearsonCorrelation", _REGRESSION, "higher"),
    "calibration": Metric("Calibration", _BINARY + _REGRESSION),
    "mean_label": Metric("MeanLabel", _BINARY + _REGRESSION),
    "mean_prediction": Metric("MeanPrediction", _BINARY + _REGRESSION),
    "example_count": Metric("ExampleCount", _BINARY + _MULTICLASS + _REGRESSION),
}


def supported_metrics(task: str) -> list[str]:
    """The names that ``evaluation.metrics`` may use for a task."""
    return [name for name, metric in METRICS.items() if task in metric.tasks]


def check_metrics(task: str, metrics: Mapping[str, Mapping[str, float | None]]) -> None:
    """Checks ``evaluation.metrics``.

    Args:
      task: binary, multiclass or regression.
      metrics: thresholds by metric's name; None is as good as absent.

    Raises:
      ValueError: for a metric or a threshold that does not exist or does not fit.
    """
    names = supported_metrics(task)
    for name, thresholds in metrics.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"metric {name!r} is unknown for task {task!r}{hint} (expected one of "
                f"{', '.join(names)})"
            )
        given = {key: value for key, value in thresholds.items() if value is not None}
        for key, value in given.items():
            if key not in THRESHOLDS:
                raise ValueError(f"{name}: {key!r}: expected one of {', '.join(THRESHOLDS)}")
            if key.startswith("may_") and value < 0:
                raise ValueError(f"{name}.{key} is {value}: expected 0 or above")
        if "min" in given and "max" in given and given["min"] > given["max"]:
            raise ValueError(f"{name}: min {given['min']} is above max {given['max']}")
        for key, better in (("may_drop", "higher"), ("may_rise", "lower")):
            if key in given and METRICS[name].better != better:
                other = {"higher": "may_drop", "lower": "may_rise", None: "min and max"}
                raise ValueError(f"{name}: {key} does not fit: use {other[METRICS[name].better]}")
