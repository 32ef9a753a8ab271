"""What is on the dashboards: panels, and the queries whose metrics docs/monitoring.md lists."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
      title: its title.
      unit: Grafana's id of the unit.
      queries: by legend, PromQL.
      text: what to read from it; shown on its corner.
      type: ``timeseries``, or another for what counts now.
      thresholds: values with the color of what lies above.
    """

    title: str
    unit: str
    queries: dict[str, str]
    text: str = ""
    type: Literal["timeseries", "stat", "bargauge"] = "timeseries"
    thresholds: tuple[tuple[float, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Dashboard:
    """A dashboard; ``variable`` picks what it shows, of what the query ``values`` lists."""

    name: str
    title: str
    variable: str
    values: str
    since: str
    panels: tuple[Panel, ...]


_MODEL = '{model_name=~"$model"}'
RUN = '{pipeline=~"$pipeline"}'
_BATCH = ":tensorflow:serving:runtime_latency"
_WAIT = "rate(:tensorflow:serving:batching_session:queuing_latency_bucket[5m])"

SERVING = Dashboard(
    "serving",
    "Serving",
    "model",
    "label_values(:tensorflow:serving:request_count, model_name)",
    "now-1h",
    (
        Panel(
            "Requests by status",
            "reqps",
            {"{{status}}": f"sum by (status) (track:serving_requests:rate5m{_MODEL})"},
        ),
        Panel(
            "p99 by track",
            "s",
            {"{{model_name}} {{track}}": f"track:serving_request_seconds:p99_5m{_MODEL}"},
            "Of answers without an error. The lines are where the alerts stand: 50 and 100 ms.",
            thresholds=((0.05, "orange"), (0.1, "red")),
        ),
        Panel(
            "Failures by track",
            "percentunit",
            {"{{model_name}} {{track}}": f"track:serving_failures:ratio_rate5m{_MODEL}"},
            "Failures of the server or the model; what clients do wrong is left out.",
            thresholds=((0.01, "red"),),
        ),
        Panel(
            "Share of the traffic by version",
            "percentunit",
            {
                "{{model_name}} {{version}}": (
                    f"max by (model_name, version) (serving_traffic_ratio{_MODEL})"
                )
            },
            "A rollout moves it in steps, and back if the canary is worse.",
        ),
        Panel(
            "Queue",
            "percentunit",
            {
                "{{instance}} {{version}}": (
                    "max by (instance, version) "
                    f"(serving_queue_rows{_MODEL} / serving_queue_capacity_rows)"
                )
            },
            "Taken places; a full queue refuses with UNAVAILABLE.",
            thresholds=((0.8, "red"),),
        ),
        Panel(
            "Wait in the queue, p99",
            "µs",
            {"{{instance}}": f"histogram_quantile(0.99, sum by (instance, le) ({_WAIT}))"},
        ),
        Panel(
            "Run time of a batch, mean",
            "µs",
            {
                "{{instance}}": (
                    f"sum by (instance) (rate({_BATCH}_sum{_MODEL}[5m])) "
                    f"/ sum by (instance) (rate({_BATCH}_count{_MODEL}[5m]))"
                )
            },
            "If it rises at the same load, something else takes the processor, or the model grew.",
        ),
        Panel(
            "Answers with NaN or infinity",
            "cps",
            {
                "{{model_name}} {{version}}": (
                    "sum by (model_name, version) "
                    f"(rate(serving_invalid_answers_total{_MODEL}[5m])) or vector(0)"
                )
            },
        ),
        Panel(
            "Versions",
            "none",
            {
                "{{model_name}} {{version}} {{state}}": (
                    f"count by (model_name, version, state) (serving_version_state{_MODEL} == 1)"
                )
            },
            "How many servers have the version in which state.",
            "stat",
        ),
    ),
)

PIPELINE = Dashboard(
    "pipeline",
    "Pipeline",
    "pipeline",
    "label_values(pipeline_run_success, pipeline)",
    "now-30d",
    (
        Panel(
            "Age of the last success",
            "s",
            {
                "{{pipeline}}": (
                    f"time() - max by (pipeline) (pipeline_last_success_timestamp_seconds{RUN})"
                ),
                "{{pipeline}} due": f"max by (pipeline) (pipeline_success_due_seconds{RUN})",
            },
        ),
        Panel(
            "Latest run: success",
            "bool_yes_no",
            {
                "{{pipeline}} {{run_id}}": (
                    f"pipeline_run_success{RUN} * on (pipeline, job, instance) "
                    "group_left (run_id) pipeline_run_info"
                )
            },
            type="stat",
        ),
        Panel("Duration", "s", {"{{pipeline}}": f"pipeline_run_duration_seconds{RUN}"}),
        Panel(
            "Stages: duration",
            "s",
            {
                "{{stage}} {{state}}": (
                    f"pipeline_stage_duration_seconds{RUN} * on (pipeline, stage, job, instance) "
                    "group_left (state) pipeline_stage_state"
                )
            },
            "With the state that each ended in; what is cached takes no time.",
            "bargauge",
        ),
        Panel(
            "Evaluation",
            "none",
            {
                "{{metric}} {{model}}": (
                    'pipeline_evaluation_metric{pipeline=~"$pipeline",metric!="example_count"}'
                ),
                "{{metric}} {{rule}}": (
                    'pipeline_evaluation_threshold{pipeline=~"$pipeline",rule=~"min|max"}'
                ),
            },
            "The candidate beside the champion on the same examples, and what it is held to.",
        ),
        Panel(
            "Gates",
            "bool_yes_no",
            {"{{gate}}": f"pipeline_gate_blessed{RUN}"},
            "Whether each let the run or the model pass.",
            "stat",
        ),
        Panel(
            "Serving gate: p99 under load",
            "s",
            {
                "measured": f"pipeline_gate_latency_p99_seconds{RUN}",
                "allowed": f"pipeline_gate_latency_budget_seconds{RUN}",
            },
        ),
        Panel(
            "Versions",
            "none",
            {
                "serves": f"pipeline_version_serving{RUN}",
                "pushed by the run": f"pipeline_version_pushed{RUN}",
            },
        ),
    ),
)

TRAINING = Dashboard(
    "training",
    "Training",
    "pipeline",
    "label_values(training_epochs, pipeline)",
    "now-30d",
    (
        Panel(
            "Examples a second",
            "ops",
            {
                "training": f"training_examples_per_second{RUN}",
                "its input alone": f"training_input_examples_per_second{RUN}",
            },
            "If both are alike, the input holds up the device.",
        ),
        Panel(
            "Time of a step",
            "s",
            {
                "{{statistic}}": f"training_step_seconds{RUN}",
                "{{statistic}}, waiting for input": f"training_input_wait_seconds{RUN}",
            },
        ),
        Panel("Loss and metrics", "none", {"{{metric}}": f"training_metric{RUN}"}),
        Panel(
            "Epochs",
            "none",
            {
                "trained": f"training_epochs{RUN}",
                "weights kept of": f"training_best_epoch{RUN}",
            },
        ),
        Panel("Wall time", "s", {"{{pipeline}}": f"training_duration_seconds{RUN}"}),
        Panel(
            "How it was trained",
            "none",
            {
                "{{strategy}} {{precision}}, replicas": (
                    f"training_replicas{RUN} * on (pipeline, job, instance) "
                    "group_left (strategy, precision) training_info"
                ),
                "weights": f"training_parameters{RUN}",
            },
            type="stat",
        ),
        Panel(
            "GPU memory that tensors held, peak",
            "bytes",
            {"{{device}}": f"training_gpu_memory_peak_bytes{RUN}"},
            "By TensorFlow's allocator. It reserves nearly all of the device, so nvidia-smi and "
            "DCGM always show it full.",
        ),
    ),
)

DATA = Dashboard(
    "data",
    "Data",
    "pipeline",
    "label_values(pipeline_rows_read, pipeline)",
    "now-30d",
    (
        Panel("Rows read", "short", {"{{stage}} {{source}}": f"pipeline_rows_read{RUN}"}),
        Panel("Rows used", "short", {"{{stage}} {{source}}": f"pipeline_rows_used{RUN}"}),
        Panel(
            "Rows left out, by reason",
            "short",
            {"{{source}} {{reason}}": f"pipeline_rows_rejected{RUN}"},
            "Rejected readings lie in the run's quarantine, with an example each in its report.",
        ),
        Panel(
            "Share of readings rejected",
            "percentunit",
            {"{{source}}": f"pipeline_rejected_ratio{RUN}"},
            "Past the source's max_rejected the run stops.",
        ),
        Panel("Examples joined", "short", {"{{split}}": f"pipeline_rows_joined{RUN}"}),
        Panel(
            "Observations that found a row",
            "percentunit",
            {"{{source}}": f"pipeline_rows_matched_ratio{RUN}"},
        ),
        Panel(
            "Anomalies",
            "short",
            {"{{kind}} {{outcome}}": f"pipeline_anomalies{RUN}"},
            "What passes is listed under validation.ignore.",
            thresholds=((1, "red"),),
        ),
        Panel(
            "Drift",
            "none",
            {
                "{{feature}} {{kind}}": (
                    f"topk(10, pipeline_drift_distance{RUN} / pipeline_drift_threshold{RUN})"
                ),
            },
            "The ten that moved furthest, as a part of what they may: above 1 something moved. "
            "Written by python -m pipeline monitor.",
            thresholds=((1, "red"),),
        ),
    ),
)

DASHBOARDS = (SERVING, PIPELINE, TRAINING, DATA)
