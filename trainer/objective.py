"""The evaluation's metrics, measured on a model in memory: what trials are judged by."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from trainer.features import Config
from trainer.model import Target, combine

_THRESHOLDS = 1000
_PEARSON = "squared_pearson_correlation"

METRICS = {
    "auc": lambda: keras.metrics.AUC(num_thresholds=_THRESHOLDS),
    "auc_precision_recall": lambda: keras.metrics.AUC(num_thresholds=_THRESHOLDS, curve="PR"),
    "binary_accuracy": keras.metrics.BinaryAccuracy,
    "precision": keras.metrics.Precision,
    "recall": keras.metrics.Recall,
    "f1_score": lambda: keras.metrics.F1Score(average="micro", threshold=0.5),
    "binary_cross_entropy": keras.metrics.BinaryCrossentropy,
    "brier_score": keras.metrics.MeanSquaredError,
    "accuracy": keras.metrics.SparseCategoricalAccuracy,
    "cross_entropy": keras.metrics.SparseCategoricalCrossentropy,
    "mean_squared_error": keras.metrics.MeanSquaredError,
    "root_mean_squared_error": keras.metrics.RootMeanSquaredError,
    "mean_absolute_error": keras.metrics.MeanAbsoluteError,
    "mean_absolute_percentage_error": keras.metrics.MeanAbsolutePercentageError,
    _PEARSON: None,
}
"""By their name in settings; those that are better one way."""


def measure(
    metric: str, config: Config, target: Target, labels: np.ndarray, outputs: tf.Tensor
) -> float:
    """Measures predictions.

    Args:
      metric: a name of METRICS that fits the task.
      config: what is predicted.
      target: the label's measures.
      labels: [n], class indices or numbers; -1 for a class that training never saw.
      outputs: what the model returns for the n examples.

    Returns:
      The metric, in the label's own unit where it has one.
    """
    answers = combine(config.task, outputs, target.prior).numpy()
    if config.task == "regression":
        answers = answers * target.scale + target.mean
    known = labels >= 0 if config.task == "multiclass" else np.ones(len(labels), bool)
    expected, answers = labels[known, np.newaxis], answers[known]
    if metric == _PEARSON:
        return float(np.corrcoef(expected[:, 0], answers[:, 0])[0, 1] ** 2)
    measured = METRICS[metric]()
    measured.update_state(expected.astype(np.float32), answers)
    return float(measured.result())
