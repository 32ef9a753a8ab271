"""Runs TFMA on the candidate and the champion, blesses or not, and writes what it found."""

import json
import math
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as evaluator
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.ingest.batches import fix_batches
from components.model_evaluator.plots import write_plots
from components.model_evaluator.report import write_evaluation

EXTRACTORS = "components.model_evaluator.labels"
CHAMPION = "champion.json"
"""What Champion leaves beside the model."""

NO_THRESHOLDS = (
    "evaluation.metrics sets no min, max, may_drop or may_rise, so that nothing was judged"
)
NO_CHAMPION = "nothing serves yet: changes were not judged"


class Executor(evaluator.Executor):
    """TFX's Evaluator, for a baseline that may be empty."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates.

        Without a champion the candidate is judged on value thresholds only; with change
        thresholds alone the first model is blessed.
        """
        fix_batches()
        inputs = dict(input_dict)
        version = None
        baseline = inputs.get("baseline_model")
        if baseline:
            folder = Path(artifact_utils.get_single_uri(baseline))
            if (Path(path_utils.serving_model_path(str(folder))) / "saved_model.pb").exists():
                version = _version(folder)
            else:
                del inputs["baseline_model"]
                baseline = None
        try:
            super().Do(inputs, output_dict, {**exec_properties, "module_path": EXTRACTORS})
        except Exception as error:
            if not baseline:
                raise
            raise RuntimeError(
                f"evaluating beside the champion (version {version}) failed: {error}. If the "
                " champion needs columns that the examples no longer have, promote a version "
                "that does without them, or begin a new serving.model"
            ) from error
        uri = artifact_utils.get_single_uri(output_dict["evaluation"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        config = config_pb2.EvalConfig()
        json_format.Parse(exec_properties["eval_config"], config)
        report = summarise(uri, config, bool(baseline), version)
        # TFX leaves the blessing untouched where it has no threshold to check.
        _bless(blessing, report["blessed"])
        write_evaluation(uri, report)
        write_plots(uri, bool(baseline))


def summarise(
    uri: str, config: config_pb2.EvalConfig, compared: bool, version: int | None
) -> dict[str, Any]:
    """Reads TFMA's results.

    Args:
      uri: where TFMA wrote them.
      config: what it was asked.
      compared: whether a champion was evaluated too.
      version: the champion's version, if it says one.

    Returns:
      What ``report.read_evaluation`` describes, ``reasons`` aside.
    """
    thresholds = _thresholds(config)
    changes_only = bool(thresholds) and not any(
        rule in ("min", "max") for rules in thresholds.values() for rule in rules
    )
    candidate = _metrics(uri, "candidate" if compared else "")
    champion = _metrics(uri, "baseline") if compared else {}
    note = ""
    failures: list[dict[str, Any]] = []
    if not thresholds:
        blessed, note = False, NO_THRESHOLDS
    elif changes_only and not compared:
        blessed, note = True, NO_CHAMPION
    else:
        result = tfma.load_validation_result(uri)
        blessed = result.validation_ok
        failures = _failures(result, candidate.get((), {}), champion.get((), {}))
        if not compared and any(
            rule.startswith("may_") for rules in thresholds.values() for rule in rules
        ):
            note = NO_CHAMPION
    return {
        "blessed": blessed,
        "metrics": candidate.get((), {}),
        "baseline_metrics": champion.get((), {}),
        "baseline_version": version,
        "thresholds": thresholds,
        "failures": failures,
        "slices": [
            {
                "slice": dict(key),
                "metrics": metrics,
                "baseline_metrics": champion.get(key, {}),
            }
            for key, metrics in sorted(candidate.items(), key=lambda item: str(item[0]))
            if key
        ],
        "note": note,
    }


def _thresholds(config: config_pb2.EvalConfig) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            rules = {}
            threshold = config_pb2.MetricThreshold()
            for held in metric.per_slice_thresholds:
                threshold.MergeFrom(held.threshold)
            value, change = threshold.value_threshold, threshold.change_threshold
            if value.HasField("lower_bound"):
                rules["min"] = value.lower_bound.value
            if value.HasField("upper_bound"):
                rules["max"] = value.upper_bound.value
            if change.HasField("absolute"):
                higher = change.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER
                rules["may_drop" if higher else "may_rise"] = abs(change.absolute.value)
            if rules:
                found[json.loads(metric.config)["name"]] = rules
    return found


def _metrics(uri: str, model_name: str) -> dict[tuple[Any, ...], dict[str, float | None]]:
    """Metrics by slice, () being all examples."""
    result = tfma.load_eval_result(uri, model_name=model_name or None)
    found = {}
    for key, outputs in result.slicing_metrics:
        values = outputs[""][""]
        found[tuple(key)] = {
            name: _finite(value["doubleValue"])
            for name, value in values.items()
            if "doubleValue" in value and not name.endswith("_diff")
        }
    return found


def _failures(
    result: validation_result_pb2.ValidationResult,
    metrics: dict[str, float | None],
    baseline: dict[str, float | None],
) -> list[dict[str, Any]]:
    found = []
    for validated in result.metric_validations_per_slice:
        for failure in validated.failures:
            name, threshold = failure.metric_key.name, failure.metric_threshold
            value = metrics.get(name)
            if threshold.HasField("change_threshold"):
                absolute = threshold.change_threshold.absolute.value
                higher = (
                    threshold.change_threshold.direction
                    == config_pb2.MetricDirection.HIGHER_IS_BETTER
                )
                rule, bound = "may_drop" if higher else "may_rise", abs(absolute)
            else:
                limits = threshold.value_threshold
                above = limits.HasField("upper_bound") and (
                    value is not None and value > limits.upper_bound.value
                )
                rule = "max" if above or not limits.HasField("lower_bound") else "min"
                bound = limits.upper_bound.value if rule == "max" else limits.lower_bound.value
            found.append(
                {
                    "metric": name,
                    "rule": rule,
                    "bound": bound,
                    "value": value,
                    "baseline": baseline.get(name) if rule.startswith("may_") else None,
                }
            )
    return found


def _finite(value: object) -> float | None:
    number = float(str(value))
    return number if math.isfinite(number) else None


def _version(champion: Path) -> int | None:
    path = champion / CHAMPION
    version = json.loads(path.read_text(encoding="utf-8"))["version"] if path.exists() else None
    return None if version is None else int(version)


def _bless(blessing: types.Artifact, blessed: bool) -> None:
    names = (constants.NOT_BLESSED_FILE_NAME, constants.BLESSED_FILE_NAME)
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[not blessed]).unlink(missing_ok=True)
    (folder / names[blessed]).touch()
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY,
        constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE,
    )
