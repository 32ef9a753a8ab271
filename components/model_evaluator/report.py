"""``evaluation.json`` and ``plots.json``: what an evaluation found, for people and later stages.

Reading it imports neither TensorFlow nor TFMA.
"""

import json
from pathlib import Path
from typing import Any

REPORT, PLOTS = "evaluation.json", "plots.json"


def read_evaluation(uri: str) -> dict[str, Any]:
    """Reads the report of an evaluation.

    Args:
      uri: the Evaluator's ``evaluation`` artifact.

    Returns:
      ``blessed``: whether the model may be pushed;
      ``metrics``: the candidate's, over all examples, by name; None where undefined;
      ``baseline_metrics``: the champion's on the same examples; empty without one;
      ``baseline_version``: the champion's version, or None;
      ``thresholds``: what was asked for: ``{metric: {"min": 0.8, ...}}``;
      ``failures``: ``[{"metric", "rule", "bound", "value", "baseline"}]``, what was missed;
      ``slices``: ``[{"slice": {column: value}, "metrics": {...}, "baseline_metrics": {...}}]``;
      ``reasons``: why it was not blessed, as sentences; empty if it was;
      ``note``: what else a reader should know, or "".
    """
    text: str = (Path(uri) / REPORT).read_text(encoding="utf-8")
    return dict(json.loads(text))


def read_plots(uri: str) -> dict[str, Any]:
    """Reads the curves of an evaluation, by model: ``candidate``, and ``champion`` if there is one.

    Args:
      uri: the Evaluator's ``evaluation`` artifact.

    Returns:
      For each model, all over all examples:
      ``curve`` (binary): ``thresholds``, ``true_positives``, ``false_positives``,
      ``true_negatives`` and ``false_negatives``, [n] each, by rising threshold;
      ``calibration`` (binary): ``[{"examples", "predicted", "positives"}]``, buckets of mean
      prediction ``predicted``;
      ``slices`` (binary): ``[{"slice": {column: value}, "positives", "negatives"}]``;
      ``class_counts`` (multiclass): ``[[actual, predicted, count]]``;
      ``answer_sample`` (regression): ``[[actual, predicted]]``, some of the examples.
      Empty where an older version of this code evaluated.
    """
    path = Path(uri) / PLOTS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_evaluation(uri: str, evaluation: dict[str, Any]) -> None:
    """Writes the report, ``reasons`` added; see ``read_evaluation``."""
    told = {**evaluation, "reasons": _reasons(evaluation)}
    (Path(uri) / REPORT).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _reasons(evaluation: dict[str, Any]) -> list[str]:
    if evaluation["blessed"]:
        return []
    told = [_sentence(failure, evaluation) for failure in evaluation["failures"]]
    return told or [evaluation["note"] or "the evaluation did not bless the model"]


def _sentence(failure: dict[str, Any], evaluation: dict[str, Any]) -> str:
    name, rule, value = failure["metric"], failure["rule"], failure["value"]
    if value is None:
        return f"{name} is undefined on the eval examples (one class only, or none)"
    bound = _number(failure["bound"])
    if rule in ("min", "max"):
        # Never fewer decimals than the bound was given with: 0.999 must not read as 1.00.
        given = len(bound.partition(".")[2])
        digits = max(given, _digits(value, failure["bound"]))
        way = "below" if rule == "min" else "above"
        return f"{name} {value:.{digits}f} is {way} {failure['bound']:.{digits}f}"
    version = evaluation["baseline_version"]
    champion = "the champion" if version is None else f"version {version}"
    before = failure["baseline"]
    if before is None:
        return f"{name} is undefined for {champion}, so no change can be judged"
    digits = max(_digits(value, before), _digits(value, before, failure["bound"]))
    done, may = ("fell", "drop") if rule == "may_drop" else ("rose", "rise")
    return (
        f"{name} {done} from {before:.{digits}f} ({champion}) to {value:.{digits}f}: it may {may} "
        f"by {bound}"
    )


def _digits(value: float, other: float, change: float | None = None) -> int:
    """Decimals with which two numbers differ visibly, at least 2."""
    for digits in range(2, 9):
        if round(value, digits) != round(other, digits) and (
            change is None or round(abs(value - other), digits) > round(change, digits)
        ):
            return digits
    return 9


def _number(value: float) -> str:
    return f"{value:g}"
