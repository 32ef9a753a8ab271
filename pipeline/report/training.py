"""How the model learnt: curves by epoch, and how fast."""

import dataclasses
from typing import Any

from markupsafe import Markup

from pipeline.metrics.training import input_wait_ratio
from pipeline.report import charts, numbers
from pipeline.report.run import Report, Run

_VALIDATION = "val_"


@dataclasses.dataclass(frozen=True)
class Training:
    """What the section shows: figures are name, value and note."""

    curves: list[tuple[str, Markup, str]]
    figures: list[tuple[str, str, str]]
    epochs: list[list[str]]
    metrics: list[str]
    tuner: Report | None


def of(run: Run) -> Training | None:
    """The section; None where nothing was trained."""
    report = run.report("Trainer", "model_run", "training.json")
    tuner = run.report("Tuner", "tuner_results")
    if report is None or not report["epochs"]:
        return None
    epochs = report["epochs"]
    metrics = list(dict.fromkeys(name for epoch in epochs for name in epoch["metrics"]))
    best = report.get("best_epoch")
    curves = []
    for name in dict.fromkeys(metric.removeprefix(_VALIDATION) for metric in metrics):
        series = [
            charts.Line(told, *_values(epochs, metric))
            for told, metric in (("train", name), ("eval", _VALIDATION + name))
            if metric in metrics
        ]
        curves.append((name, _curve(series, name, best), _shows(name, series)))
    return Training(curves, _figures(report), _table(epochs, metrics), metrics, tuner)


def _values(epochs: list[Report], metric: str) -> tuple[list[float], list[float]]:
    known = [epoch for epoch in epochs if epoch["metrics"].get(metric) is not None]
    return [e["epoch"] for e in known], [e["metrics"][metric] for e in known]


def _curve(series: list[charts.Line], name: str, best: int | None) -> Markup:
    return charts.lines(
        series,
        f"{name} by epoch",
        x_label="epoch",
        y_label=name,
        mark=None if best is None else (best, "kept"),
        dots=True,
    )


def _shows(name: str, series: list[charts.Line]) -> str:
    if name == "loss":
        return (
            "What training makes small. Good: both fall and level off near each other. Eval rising "
            "while train still falls means learning by heart; the kept epoch lies before that."
        )
    measured = " and ".join(one.name for one in series)
    return f"Measured after each epoch on {measured}. Good: it levels off, without jumps."


def _figures(report: Report) -> list[tuple[str, str, str]]:
    epochs, strategy = report["epochs"], report["strategy"]
    last = epochs[-1]
    best = report.get("best_epoch")
    kept = f"epoch {best} kept" if best else "the last kept"
    early = ", stopped early" if report.get("stopped_early") else ""
    found = [
        ("Epochs", numbers.count(len(epochs)), kept + early),
        ("Time", numbers.duration(sum(e["seconds"] for e in epochs)), "all epochs"),
        (
            "Examples a second",
            numbers.count(last["examples_per_second"]),
            _input(report.get("input_examples_per_second")),
        ),
        ("Weights", numbers.count(report["parameters"]), f"in {report['precision']}"),
        (
            "Devices",
            numbers.count(strategy["replicas"]),
            f"{', '.join(strategy['devices'])}: {strategy['why']}",
        ),
    ]
    if (waited := input_wait_ratio(epochs)) is not None:
        found.insert(3, ("Waiting for input", numbers.percent(waited), "of the steps' time"))
    for device, peak in report["gpu_memory_peak_bytes"].items():
        found.append((f"Memory of {device}", f"{peak / 2**30:.2f} GiB", "at most, by tensors"))
    return found


def _input(rate: float | None) -> str:
    return "" if rate is None else f"the input alone delivers {numbers.count(rate)}"


def _table(epochs: list[Report], metrics: list[str]) -> list[list[Any]]:
    return [
        [
            epoch["epoch"],
            numbers.duration(epoch["seconds"]),
            f"{1000 * epoch['step_seconds']['p50']:.1f} ms",
            f"{1000 * epoch['step_seconds']['p99']:.1f} ms",
            f"{epoch['learning_rate']:.2g}",
            *(numbers.decimal(epoch["metrics"].get(name)) for name in metrics),
        ]
        for epoch in epochs
    ]
