"""How good the model is: against its thresholds, against the champion, and by slice."""

import dataclasses
from typing import Any

from components.model_evaluator.metrics import METRICS
from components.model_evaluator.report import read_plots
from pipeline.report import charts, curves, intervals, numbers
from pipeline.report.run import Report, Run

_SLICES = 12
_RULES = {
    "min": "at least {}",
    "max": "at most {}",
    "may_drop": "may drop by {}",
    "may_rise": "may rise by {}",
}


@dataclasses.dataclass(frozen=True)
class Quality:
    """What the section shows.

    Rows of ``metrics`` are name, candidate, champion, change, rules, and whether these are met.
    """

    evaluation: Report
    metrics: list[tuple[str, str, str, str, str, str]]
    pictures: list[curves.Picture]
    slices: list[curves.Picture]
    slice_table: list[list[Any]]
    slice_head: list[str]
    thresholds: list[list[str]]
    champion: str
    label: str


def of(run: Run) -> Quality | None:
    """The section; None where nothing was evaluated."""
    evaluation = run.report("Evaluator", "evaluation", "evaluation.json")
    folder = run.place("Evaluator", "evaluation")
    if evaluation is None or folder is None:
        return None
    plots = read_plots(str(folder))
    names = [name for name in evaluation["metrics"] if name != "example_count"]
    version, compared = evaluation["baseline_version"], bool(evaluation["baseline_metrics"])
    head, table = _slice_table(evaluation, names)
    return Quality(
        evaluation,
        [_metric(evaluation, name) for name in evaluation["metrics"]],
        curves.pictures(plots),
        [picture for name in names[:3] if (picture := _slices(evaluation, plots, name))],
        table,
        head,
        curves.thresholds(plots),
        (f"version {version}" if version else "champion") if compared else "",
        _label(run),
    )


def _label(run: Run) -> str:
    """The binary label's name: pictures call its values class 0 and class 1."""
    label = (run.plan["inputs"].get("trainer_config") or {}).get("label", {})
    return str(label["name"]) if label.get("task") == "binary" else ""


def _metric(evaluation: Report, name: str) -> tuple[str, str, str, str, str, str]:
    value, before = evaluation["metrics"][name], evaluation["baseline_metrics"].get(name)
    bounds = {r: b for r, b in evaluation["thresholds"].get(name, {}).items() if b is not None}
    missed = {failure["rule"] for failure in evaluation["failures"] if failure["metric"] == name}
    show = numbers.count if name == "example_count" else numbers.decimal
    counts = name == "example_count"
    changed = None if value is None or before is None or counts else value - before
    return (
        name + {"higher": " ↑", "lower": " ↓", None: ""}[METRICS[name].better],
        show(value),
        show(before),
        numbers.change(changed),
        ", ".join(_RULES[rule].format(f"{bound:g}") for rule, bound in bounds.items()),
        _judged(bounds, missed, bool(evaluation["baseline_metrics"])),
    )


def _judged(bounds: Report, missed: set[str], compared: bool) -> str:
    """Whether a metric holds its bounds; changes are not judged while nothing serves."""
    if missed:
        return "missed"
    judged = [rule for rule in bounds if compared or not rule.startswith("may_")]
    return "met" if judged else "not judged" if bounds else ""


def _slices(evaluation: Report, plots: Report, name: str) -> curves.Picture | None:
    """A metric of all examples and of each slice, the largest slices first."""
    parts = sorted(
        evaluation["slices"], key=lambda part: -(part["metrics"].get("example_count") or 0)
    )
    if not parts:
        return None
    every = {"slice": {}, **{k: evaluation[k] for k in ("metrics", "baseline_metrics")}}
    sizes = _sizes(plots)
    rows = []
    for part in [every, *parts[:_SLICES]]:
        value, key = part["metrics"].get(name), _key(part["slice"])
        ends = None
        if name == "auc" and value is not None and key in sizes:
            ends = intervals.of_auc(value, *sizes[key])
        elif name in ("accuracy", "binary_accuracy") and value is not None:
            count = part["metrics"].get("example_count") or 0
            ends = intervals.of_share(value * count, count)
        low, high = ends or (None, None)
        before = part["baseline_metrics"].get(name)
        rows.append(charts.Interval(_slice_name(part["slice"]), value, low, high, before))
    if all(row.value is None for row in rows):
        return None
    lowest = evaluation["thresholds"].get(name, {}).get("min")
    left = len(parts) - _SLICES
    sure = "The line is how sure it is (95 %). " if any(row.low is not None for row in rows) else ""
    told = "Good: all slices near each other"
    if evaluation["baseline_metrics"] and METRICS[name].better:
        worse = "left" if METRICS[name].better == "higher" else "right"
        told += f", none far {worse} of the champion's diamond"
    return curves.Picture(
        f"{name} by slice",
        charts.intervals(
            rows,
            f"{name} by slice",
            x_label=name,
            mark=None if lowest is None else (lowest, f"min {lowest:g}"),
        ),
        f"{told}. {sure}" + (f"{left} smaller slices stand in the table." if left > 0 else ""),
    )


def _sizes(plots: Report) -> dict[tuple[tuple[str, str], ...], tuple[float, float]]:
    """Positives and negatives by slice."""
    candidate = plots.get("candidate", {})
    if "curve" not in candidate:
        return {}
    curve = curves.Curve.read(candidate["curve"])
    sizes = {
        _key(part["slice"]): (part["positives"], part["negatives"])
        for part in candidate.get("slices", [])
    }
    return sizes | {(): (curve.positives, curve.negatives)}


def _slice_table(evaluation: Report, names: list[str]) -> tuple[list[str], list[list[Any]]]:
    compared = bool(evaluation["baseline_metrics"])
    head = ["slice", "examples"]
    for name in names:
        head += [name, "champion", "change"] if compared else [name]
    rows = []
    for part in evaluation["slices"]:
        row = [_slice_name(part["slice"]), numbers.count(part["metrics"].get("example_count"))]
        for name in names:
            value, before = part["metrics"].get(name), part["baseline_metrics"].get(name)
            row.append(numbers.decimal(value))
            if compared:
                changed = None if value is None or before is None else value - before
                row += [numbers.decimal(before), numbers.change(changed)]
        rows.append(row)
    return head, rows


def _key(slice_: Report) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(name), str(value)) for name, value in slice_.items()))


def _slice_name(slice_: Report) -> str:
    return ", ".join(f"{name}={value}" for name, value in slice_.items()) or "all examples"
