"""What ``training.json`` tells of a training, as metrics."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.metrics.scheme import Sample


def of_training(report: Mapping[str, Any], *_: str) -> Iterator[Sample]:
    """The samples of a training.

    Args:
      report: what the trainer wrote into the ``model_run`` artifact. How long steps waited for
        input, and what the input delivers alone, it may leave out.
    """
    strategy = report["strategy"]
    labels = {"strategy": strategy["chosen"], "precision": report["precision"]}
    yield Sample("training_info", 1, labels)
    yield Sample("training_replicas", strategy["replicas"])
    yield Sample("training_parameters", report["parameters"])
    for device, peak in report["gpu_memory_peak_bytes"].items():
        yield Sample("training_gpu_memory_peak_bytes", peak, {"device": device})
    epochs = report["epochs"]
    yield Sample("training_epochs", len(epochs))
    if (alone := report.get("input_examples_per_second")) is not None:
        yield Sample("training_input_examples_per_second", alone)
    if not epochs:
        return
    yield Sample("training_duration_seconds", sum(epoch["seconds"] for epoch in epochs))
    last = epochs[-1]
    yield Sample("training_examples_per_second", last["examples_per_second"])
    for name in ("step", "input_wait"):
        for statistic in ("mean", "p50", "p99"):
            if (seconds := last.get(f"{name}_seconds", {}).get(statistic)) is not None:
                yield Sample(f"training_{name}_seconds", seconds, {"statistic": statistic})
    if (waited := input_wait_ratio(epochs)) is not None:
        yield Sample("training_input_wait_ratio", waited)
    best = next((e for e in epochs if e["epoch"] == report.get("best_epoch")), last)
    yield Sample("training_best_epoch", best["epoch"])
    for metric, value in best["metrics"].items():
        if value is not None:
            yield Sample("training_metric", value, {"metric": metric})


def input_wait_ratio(epochs: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of the steps' time in which they waited for input; None where it was not timed."""
    timed = [epoch for epoch in epochs if "input_wait_seconds" in epoch]
    if not timed:
        return None
    waited = sum(epoch["input_wait_seconds"]["total"] for epoch in timed)
    return waited / max(sum(epoch["step_seconds"]["total"] for epoch in timed), 1e-9)
