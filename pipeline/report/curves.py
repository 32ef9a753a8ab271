"""Pictures of a model's answers, by task, from the evaluation's ``plots.json``."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.report import charts, intervals, numbers

Plots = Mapping[str, Any]
_CLASSES = 12


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, its heading, and what it shows and how it looks if all is well."""

    title: str
    drawing: Markup
    shows: str


@dataclasses.dataclass(frozen=True)
class Curve:
    """Counts by threshold, [n] each, by rising threshold."""

    thresholds: npt.NDArray[np.float64]
    true: npt.NDArray[np.float64]
    false: npt.NDArray[np.float64]
    positives: float
    negatives: float

    @classmethod
    def read(cls, told: Mapping[str, Sequence[float]]) -> "Curve":
        """Reads ``plots.json``'s ``curve``."""
        true = np.asarray(told["true_positives"], float)
        false = np.asarray(told["false_positives"], float)
        return cls(
            np.asarray(told["thresholds"], float),
            true,
            false,
            float(true[0] + told["false_negatives"][0]),
            float(false[0] + told["true_negatives"][0]),
        )

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """Share of class 1 that is found."""
        return self.true / max(self.positives, 1e-9)

    @property
    def fall_out(self) -> npt.NDArray[np.float64]:
        """Share of class 0 that is taken for class 1."""
        return self.false / max(self.negatives, 1e-9)

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """Share of alarms that are right; NaN where there is none."""
        alarms = self.true + self.false
        return np.where(alarms > 0, self.true / np.maximum(alarms, 1e-9), np.nan)

    def best_f1(self) -> int:
        """The place whose threshold has the highest F1 score."""
        scores = 2 * self.true / np.maximum(self.true + self.false + self.positives, 1e-9)
        return int(np.argmax(scores))


def pictures(plots: Mapping[str, Plots]) -> list[Picture]:
    """The pictures that an evaluation gives, whatever its task.

    Args:
      plots: by model, candidate first; see ``components.model_evaluator.report.read_plots``.
    """
    candidate = plots.get("candidate", {})
    if "curve" in candidate:
        return _binary(plots)
    if "class_counts" in candidate:
        return [_classes(candidate["class_counts"])]
    if "answer_sample" in candidate:
        return _answers(np.asarray(candidate["answer_sample"], float))
    return []


def _binary(plots: Mapping[str, Plots]) -> list[Picture]:
    curves = {model: Curve.read(told["curve"]) for model, told in plots.items()}
    candidate = curves["candidate"]
    rate = candidate.positives / max(candidate.positives + candidate.negatives, 1)
    unit = (0.0, 1.0)
    found = [
        Picture(
            "ROC: finds against false alarms",
            charts.lines(
                [charts.Line(m, c.fall_out, c.recall) for m, c in curves.items()],
                "ROC curve",
                x_label="false alarms, share of class 0",
                y_label="found, share of class 1",
                x_range=unit,
                y_range=unit,
                ideal=[(0, 0), (1, 1)],
            ),
            "Each point is a threshold. Good: it rises steeply to the upper left; the dotted line "
            "is guessing.",
        ),
        Picture(
            "Precision and recall",
            charts.lines(
                [charts.Line(m, c.recall, c.precision) for m, c in curves.items()],
                "Precision by recall",
                x_label="found, share of class 1",
                y_label="alarms that are right",
                x_range=unit,
                y_range=unit,
                ideal=[(0, rate), (1, rate)],
            ),
            "What finding more costs in wrong alarms. Good: high, far to the right; the dotted "
            f"line, {numbers.percent(rate)}, is guessing.",
        ),
        Picture(
            "Calibration",
            _calibration(plots),
            "Is what it calls 30 % true in 30 % of cases? Good: on the dotted line. The band is "
            "how far chance alone may move the candidate (95 %).",
        ),
    ]
    half = int(np.argmin(np.abs(candidate.thresholds - 0.5)))
    for place, name in ((half, "at 0.5"), (candidate.best_f1(), "at the best F1 score")):
        found.append(_confusion(candidate, place, name))
    return found


def _calibration(plots: Mapping[str, Plots]) -> Markup:
    series = []
    highest = 0.0
    for model, told in plots.items():
        buckets = told["calibration"]
        shares = [b["positives"] / b["examples"] for b in buckets]
        predicted = [b["predicted"] for b in buckets]
        ends = [intervals.of_share(b["positives"], b["examples"]) for b in buckets]
        sure = model == "candidate"
        series.append(
            charts.Line(
                model,
                predicted,
                shares,
                [low for low, _ in ends] if sure else None,
                [high for _, high in ends] if sure else None,
            )
        )
        highest = max([highest, *predicted, *shares, *(high for _, high in ends if sure)])
    span = (0.0, min(1.0, max(highest * 1.05, 0.01)))
    return charts.lines(
        series,
        "Calibration",
        x_label="predicted probability",
        y_label="share that came true",
        x_range=span,
        y_range=span,
        ideal=[(0, 0), (span[1], span[1])],
    )


def _confusion(curve: Curve, place: int, name: str) -> Picture:
    true, false = curve.true[place], curve.false[place]
    counts = [[curve.negatives - false, false], [curve.positives - true, true]]
    threshold = curve.thresholds[place]
    alarms = true + false
    right = numbers.percent(true / alarms) if alarms else "none"
    return Picture(
        f"Right and wrong {name}" + ("" if name == "at 0.5" else f", {threshold:.3f}"),
        charts.matrix(counts, ["class 0", "class 1"], ["class 0", "class 1"], "Confusion matrix"),
        f"Class 1 is called at a probability above {threshold:.3f}: "
        f"{numbers.percent(true / max(curve.positives, 1e-9))} of it found, {right} of "
        f"{numbers.count(alarms)} alarms right. Good: dark on the diagonal.",
    )


def thresholds(plots: Mapping[str, Plots]) -> list[list[str]]:
    """A table for choosing a threshold: for shares of examples with an alarm, what comes of it."""
    if "curve" not in plots.get("candidate", {}):
        return []
    curve = Curve.read(plots["candidate"]["curve"])
    share = (curve.true + curve.false) / max(curve.positives + curve.negatives, 1e-9)
    places = [int(np.argmin(np.abs(share - want))) for want in (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)]
    places += [int(np.argmin(np.abs(curve.thresholds - 0.5))), curve.best_f1()]
    return [
        [
            f"{curve.thresholds[place]:.3f}",
            numbers.percent(share[place]),
            numbers.percent(curve.recall[place]),
            numbers.percent(curve.precision[place] if share[place] else None),
            numbers.count(curve.true[place]),
            numbers.count(curve.false[place]),
        ]
        for place in sorted(set(places))
    ]


def _classes(counts: Sequence[tuple[str, str, int]]) -> Picture:
    by_name: dict[str, int] = {}
    for actual, _, count in counts:
        by_name[actual] = by_name.get(actual, 0) + count
    for _, predicted, _ in counts:
        by_name.setdefault(predicted, 0)
    kept = sorted(by_name, key=lambda name: (-by_name[name], name))[:_CLASSES]
    names = sorted(kept) + (["others"] if len(by_name) > len(kept) else [])
    place = {name: names.index(name) for name in kept}
    table = np.zeros((len(names), len(names)))
    for actual, predicted, count in counts:
        table[place.get(actual, -1), place.get(predicted, -1)] += count
    return Picture(
        "Which class is taken for which",
        charts.matrix(table, names, names, "Confusion matrix"),
        "Each row is an actual class, shaded by where its examples went. Good: dark on the "
        "diagonal, pale elsewhere.",
    )


def _answers(sample: npt.NDArray[np.float64]) -> list[Picture]:
    actual, predicted = sample.T
    residuals = actual - predicted
    counts, edges = np.histogram(residuals, bins=24)
    drawn = f"{numbers.count(len(sample))} of the eval examples, drawn evenly"
    return [
        Picture(
            "Predicted against actual",
            charts.points(
                predicted,
                actual,
                "Actual by predicted value",
                x_label="predicted",
                y_label="actual",
                diagonal=True,
            ),
            f"{drawn}. Good: close to the dotted line all along.",
        ),
        Picture(
            "Residuals by prediction",
            charts.points(
                predicted,
                residuals,
                "Residual by predicted value",
                x_label="predicted",
                y_label="actual − predicted",
            ),
            "What is left unexplained. Good: a level cloud around 0; a slope or a funnel means "
            "that something is missed.",
        ),
        Picture(
            "How large residuals are",
            charts.histograms(
                [charts.Histogram("residuals", edges, counts / max(len(sample), 1))],
                "Distribution of residuals",
                unit="actual − predicted",
            ),
            f"Half of them lie within ±{numbers.decimal(float(np.median(np.abs(residuals))))}, "
            f"95 % within ±{numbers.decimal(float(np.quantile(np.abs(residuals), 0.95)))}. "
            "Good: narrow and centred on 0.",
        ),
    ]
