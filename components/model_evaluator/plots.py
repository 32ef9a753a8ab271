"""``plots.json``: the curves of an evaluation, thinned for drawing.

From TFMA's plots, which hold a thousand points a curve and can be read with TensorFlow only.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow_model_analysis as tfma

from components.model_evaluator.answers import ANSWER_SAMPLE, CLASS_COUNTS
from components.model_evaluator.report import PLOTS

_POINTS = 160
_BUCKETS = 10
_COUNTS = ("truePositives", "falsePositives", "trueNegatives", "falseNegatives")


def write_plots(uri: str, compared: bool) -> None:
    """Writes the file beside ``evaluation.json``; see ``report.read_plots``.

    Args:
      uri: where TFMA wrote its results.
      compared: whether a champion was evaluated too.
    """
    models = {"candidate": "candidate", "champion": "baseline"} if compared else {"candidate": ""}
    text = json.dumps({told: _of_model(uri, name) for told, name in models.items()})
    (Path(uri) / PLOTS).write_text(text + "\n", encoding="utf-8")


def _of_model(uri: str, name: str) -> dict[str, Any]:
    result = tfma.load_eval_result(uri, model_name=name or None)
    told: dict[str, Any] = {}
    slices = []
    for key, outputs in result.plots:
        # Without a plot the entry is None.
        plots = outputs[""][""] if outputs else {}
        if not plots:
            continue
        if not key:
            told["curve"] = _curve(plots["confusionMatrixAtThresholds"]["matrices"])
            told["calibration"] = _calibration(plots["calibrationHistogramBuckets"]["buckets"])
        else:
            first = plots["confusionMatrixAtThresholds"]["matrices"][0]
            slices.append({"slice": dict(key), **_classes(first)})
    if slices:
        told["slices"] = slices
    for key, outputs in result.slicing_metrics:
        for kept in (CLASS_COUNTS, ANSWER_SAMPLE):
            if not key and kept in outputs[""][""]:
                told[kept] = json.loads(base64.b64decode(outputs[""][""][kept]["bytesValue"]))
    return told


def _curve(matrices: list[dict[str, float]]) -> dict[str, list[float]]:
    """Counts by threshold, at those points between which the curves move most."""
    counts = np.array([[matrix.get(name, 0.0) for name in _COUNTS] for matrix in matrices])
    thresholds = np.array([matrix.get("threshold", 0.0) for matrix in matrices])
    true, false, true_negative, false_negative = counts.T
    recall = true / np.maximum(true + false_negative, 1e-9)
    fall_out = false / np.maximum(false + true_negative, 1e-9)
    precision = true / np.maximum(true + false, 1e-9)
    moved = sum(np.abs(np.diff(values)) for values in (recall, fall_out, precision))
    way = np.concatenate([[0.0], np.cumsum(moved)])
    marks = np.linspace(0.0, way[-1], _POINTS)
    # The threshold that metrics such as precision use is always among them.
    half = int(np.argmin(np.abs(thresholds - 0.5)))
    kept = np.unique([0, half, len(way) - 1, *np.searchsorted(way, marks).clip(0, len(way) - 1)])
    return {
        "thresholds": thresholds[kept].round(6).clip(0, 1).tolist(),
        **{
            name: counts[kept, place].tolist()
            for place, name in enumerate(
                ("true_positives", "false_positives", "true_negatives", "false_negatives")
            )
        },
    }


def _calibration(buckets: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Buckets of about as many expected positives each, from the lowest prediction to the highest.

    Equal widths would leave all examples of a rare class in one of them.
    """
    names = ("numWeightedExamples", "totalWeightedRefinedPrediction", "totalWeightedLabel")
    sums = np.array([[float(_value(bucket, name)) for name in names] for bucket in buckets])
    sums = sums[sums[:, 0] > 0]
    if not sums.size:
        return []
    expected = np.cumsum(sums[:, 1])
    total = max(float(expected[-1]), 1e-9)
    middle = (expected - sums[:, 1] / 2) / total
    place = np.minimum((middle * _BUCKETS).astype(int), _BUCKETS - 1)
    return [_bucket(sums[place == number]) for number in np.unique(place)]


def _bucket(sums: npt.NDArray[np.float64]) -> dict[str, float]:
    examples, predicted, positives = (float(total) for total in sums.sum(axis=0))
    return {"examples": examples, "predicted": predicted / examples, "positives": positives}


def _classes(lowest: dict[str, float]) -> dict[str, float]:
    """How many examples are of each class; below the lowest threshold none is taken for 0."""
    true, false, true_negative, false_negative = (lowest.get(name, 0.0) for name in _COUNTS)
    return {"positives": true + false_negative, "negatives": false + true_negative}


def _value(bucket: dict[str, Any], name: str) -> float:
    """A wrapped double; protocol buffers leave out what is 0."""
    value = bucket.get(name, 0.0)
    return float(value.get("value", 0.0)) if isinstance(value, dict) else float(value)
