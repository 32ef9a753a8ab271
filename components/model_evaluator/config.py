"""From ``evaluation:`` in settings to TFMA's EvalConfig."""

from collections.abc import Mapping
from typing import Any

from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from components.model_evaluator.metrics import METRICS, check_metrics

OUTPUTS = {"binary": "probabilities", "multiclass": "probabilities", "regression": "predictions"}
"""What the model's signatures name their prediction, by task."""

_OURS = "components.model_evaluator.answers"
_PLOTS = {
    "binary": [("ConfusionMatrixPlot", ""), ("CalibrationPlot", "")],
    "multiclass": [("ClassCounts", _OURS)],
    "regression": [("AnswerSample", _OURS)],
}
"""What pictures are drawn from, by task: classes, and the modules of those that TFMA lacks."""


def eval_config(
    label: str, task: str, evaluation: Mapping[str, Any], signature: str = "serving_default"
) -> config_pb2.EvalConfig:
    """Builds the configuration of an evaluation.

    Args:
      label: the label's column.
      task: binary, multiclass or regression.
      evaluation: ``{"metrics": {name: {"min", "max", "may_drop", "may_rise"}}, "slices": [[column,
        ...], ...]}``. ``example_count`` is always measured. Thresholds hold for all examples
        together; slices are measured only. ``may_drop`` and ``may_rise`` are differences to what
        the champion scores on the same examples.
      signature: the signature that takes serialized tf.Examples.

    Raises:
      ValueError: for metrics or thresholds that do not fit; see ``metrics.check_metrics``.
    """
    metrics = {name: dict(thresholds or {}) for name, thresholds in evaluation["metrics"].items()}
    check_metrics(task, metrics)
    metrics.setdefault("example_count", {})
    config = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                # Not said, TFMA would try to load it as Keras's to find out.
                model_type=constants.TF_GENERIC,
                signature_name=signature,
                label_key=label,
                prediction_key=OUTPUTS[task],
            )
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=s) for s in evaluation.get("slices") or []),
        ],
    )
    config.options.include_default_metrics.value = False
    spec = config.metrics_specs.add()
    for name, thresholds in metrics.items():
        metric = spec.metrics.add(class_name=METRICS[name].class_name)
        # Without a name of its own brier_score would be shown as mean_squared_error.
        metric.config = f'{{"name": "{name}"}}'
        threshold = _threshold(thresholds)
        if threshold.ByteSize():
            # MetricConfig.threshold would hold every slice to it, however few examples it has.
            metric.per_slice_thresholds.add(
                slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold
            )
    spec.metrics.extend(
        config_pb2.MetricConfig(class_name=name, module=module) for name, module in _PLOTS[task]
    )
    return config


def _threshold(given: Mapping[str, float | None]) -> config_pb2.MetricThreshold:
    threshold = config_pb2.MetricThreshold()
    if (lowest := given.get("min")) is not None:
        threshold.value_threshold.lower_bound.value = lowest
    if (highest := given.get("max")) is not None:
        threshold.value_threshold.upper_bound.value = highest
    if (drop := given.get("may_drop")) is not None:
        threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
        threshold.change_threshold.absolute.value = -drop
    if (rise := given.get("may_rise")) is not None:
        threshold.change_threshold.direction = config_pb2.MetricDirection.LOWER_IS_BETTER
        threshold.change_threshold.absolute.value = rise
    return threshold
