"""The metrics of pipeline and training: one table of names, labels and meanings.

``pipeline_*`` and ``training_*`` are gauges: a run is a batch job, and each value is that of the
latest run. Names end in their base unit (``_seconds``, ``_bytes``, ``_ratio``); what has none is a
count. Every metric carries the label ``pipeline``, the project's name. docs/monitoring.md shows
the table beside the server's.
"""

import dataclasses
import types
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import prometheus_client


@dataclasses.dataclass(frozen=True)
class Metric:
    """A gauge; ``labels`` are those beside ``pipeline``."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """A value of the table's metric ``name``."""

    name: str
    value: float
    labels: Mapping[str, str] = types.MappingProxyType({})


METRICS = (
    Metric("pipeline_run_info", "1; which run the metrics are of.", ("run_id", "as_of")),
    Metric("pipeline_run_success", "Whether the run ended without a failed stage."),
    Metric("pipeline_run_end_timestamp_seconds", "When the run ended, since the epoch."),
    Metric("pipeline_run_duration_seconds", "Wall time of the run."),
    Metric(
        "pipeline_last_success_timestamp_seconds",
        "When the last run ended that got through all stages; absent before the first.",
    ),
    Metric(
        "pipeline_success_due_seconds",
        "monitoring.success_within: how old the last success may be.",
    ),
    Metric("pipeline_stage_duration_seconds", "Wall time of the stage.", ("stage",)),
    Metric(
        "pipeline_stage_state",
        "1 for the state that the stage ended in: done, cached, failed, skipped, waiting.",
        ("stage", "state"),
    ),
    Metric("pipeline_rows_read", "Rows or sensor readings read.", ("stage", "source")),
    Metric("pipeline_rows_used", "Of those, what went on to the next stage.", ("stage", "source")),
    Metric(
        "pipeline_rows_rejected",
        "Rows or sensor readings left out, by reason.",
        ("stage", "source", "reason"),
    ),
    Metric(
        "pipeline_source_spans",
        "Days of rows, or files of readings, of an incremental source; state is read or reused.",
        ("stage", "source", "state"),
    ),
    Metric("pipeline_rejected_ratio", "Share of a sensor source's readings rejected.", ("source",)),
    Metric("pipeline_rows_joined", "Examples that the join made.", ("split",)),
    Metric("pipeline_rows_matched_ratio", "Share of observations that found a row.", ("source",)),
    Metric(
        "pipeline_anomalies",
        "Anomalies by kind (schema, serving, drift, skew) and outcome (stops, passes).",
        ("kind", "outcome"),
    ),
    Metric(
        "pipeline_evaluation_metric",
        "An evaluation metric over all eval examples; model is candidate or champion.",
        ("metric", "model"),
    ),
    Metric(
        "pipeline_evaluation_threshold",
        "What the metric is held to; rule is min, max, may_drop or may_rise.",
        ("metric", "rule"),
    ),
    Metric(
        "pipeline_gate_blessed",
        "Whether the gate (anomalies, evaluation, serving) let the run or the model pass.",
        ("gate",),
    ),
    Metric("pipeline_gate_latency_p99_seconds", "p99 that the serving gate measured."),
    Metric("pipeline_gate_latency_budget_seconds", "p99 that it allows."),
    Metric("pipeline_version_pushed", "The version that the run pushed; 0 if none."),
    Metric("pipeline_version_serving", "The version that serves after the run; 0 if none."),
    Metric("pipeline_drift_distance", "How far a feature moved.", ("feature", "kind")),
    Metric("pipeline_drift_threshold", "How far it may.", ("feature", "kind")),
    Metric("pipeline_monitor_timestamp_seconds", "When what is served was last looked at."),
    Metric(
        "pipeline_monitor_window_seconds", "How long the stretch was; the next look is due then."
    ),
    Metric("pipeline_monitor_examples", "How many served examples that look was at."),
    Metric("training_info", "1; how the model was trained.", ("strategy", "precision")),
    Metric("training_duration_seconds", "Wall time of all epochs."),
    Metric("training_epochs", "Epochs trained."),
    Metric("training_best_epoch", "The epoch whose weights were kept."),
    Metric("training_parameters", "Weights of the model."),
    Metric("training_replicas", "Devices that the batch was split over."),
    Metric(
        "training_step_seconds",
        "Time of a step in the last epoch; statistic is mean, p50 or p99.",
        ("statistic",),
    ),
    Metric(
        "training_input_wait_seconds",
        "Part of it in which the step waited for its input; statistic as there.",
        ("statistic",),
    ),
    Metric("training_input_wait_ratio", "Share of all steps' time that they waited for input."),
    Metric("training_examples_per_second", "Examples a second in the last epoch."),
    Metric(
        "training_input_examples_per_second",
        "Examples a second that the input delivers without training; near the above: it is slow.",
    ),
    Metric(
        "training_metric", "Loss and metrics of the epoch whose weights were kept.", ("metric",)
    ),
    Metric(
        "training_gpu_memory_peak_bytes",
        "The most that tensors held on the device, by TensorFlow's allocator; absent without GPU.",
        ("device",),
    ),
)


def registry(pipeline: str, samples: Iterable[Sample]) -> prometheus_client.CollectorRegistry:
    """The samples as prometheus_client's registry; metrics without a sample are left out.

    Args:
      pipeline: the project's name.
      samples: of metrics of the table.

    Raises:
      KeyError: for a name that is not in the table.
      ValueError: for other labels than the table's.
    """
    table = {metric.name: metric for metric in METRICS}
    made = prometheus_client.CollectorRegistry()
    gauges: dict[str, prometheus_client.Gauge] = {}
    for name, value, labels in samples:
        if name not in gauges:
            metric = table[name]
            gauges[name] = prometheus_client.Gauge(
                name, metric.meaning, ("pipeline", *metric.labels), registry=made
            )
        gauges[name].labels(pipeline=pipeline, **labels).set(value)
    return made
