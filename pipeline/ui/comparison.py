"""Two runs side by side."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from components.model_evaluator.metrics import METRICS
from pipeline.report.charts import Line, lines
from pipeline.schema.compare import Change, compare
from pipeline.ui.facts import Facts, parameters
from pipeline.ui.runs import Run

_DATA = {
    "pipeline_rows_joined": "examples",
    "pipeline_rows_read": "rows read",
    "pipeline_rows_rejected": "rows rejected",
    "pipeline_rows_matched_ratio": "share of examples with a row",
    "pipeline_anomalies": "anomalies",
}
# The join reads what the sources' stages have read and told.
_READ_AGAIN = ("pipeline_rows_read", "PointInTimeJoin")
_TRAINING = {
    "training_parameters": "parameters",
    "training_epochs": "epochs",
    "training_best_epoch": "best epoch",
    "training_replicas": "replicas",
    "training_examples_per_second": "examples per second",
    "pipeline_gate_latency_p99_seconds": "p99 under load (s)",
}


class Row(NamedTuple):
    """A number of both runs; None where a run has none.

    Attributes:
      name: what it is.
      first: the first run's.
      second: the second run's.
      better: which one is better: ``first``, ``second``, or empty if neither or nobody can say.
    """

    name: str
    first: float | None
    second: float | None
    better: str = ""

    @property
    def difference(self) -> float | None:
        """The second less the first."""
        return None if self.first is None or self.second is None else self.second - self.first


class Setting(NamedTuple):
    """A setting that differs; empty where a run has none.

    Attributes:
      path: such as ``training.epochs``.
      stages: those that were told it.
      first: the first run's.
      second: the second run's.
    """

    path: str
    stages: tuple[str, ...]
    first: str
    second: str


def same_examples(first: Facts, second: Facts) -> bool:
    """Whether both models were evaluated on the same rows: the second run took the first's."""
    one, two = (
        known.made and known.made.place("PointInTimeJoin", "examples") for known in (first, second)
    )
    return one is not None and one == two


def metrics(first: Facts, second: Facts) -> list[Row]:
    """The metrics over all examples, then by slice."""
    one, two = _metrics(first), _metrics(second)
    return [
        _judged(name, one.get(name), two.get(name))
        for name in dict.fromkeys([*one, *two])
        if name.partition(" · ")[0] != "example_count"
    ]


def data(first: Facts, second: Facts) -> list[Row]:
    """How much data went in, and how much was refused and why."""
    return _sampled(first, second, _DATA)


def training(first: Facts, second: Facts) -> list[Row]:
    """How the model was trained and how quick it is."""
    return _sampled(first, second, _TRAINING)


def durations(first: Run, second: Run) -> list[Row]:
    """Seconds by stage that ran."""
    return [
        Row(stage, _seconds(first, stage), _seconds(second, stage))
        for stage in dict.fromkeys([*first.nodes, *second.nodes])
    ]


def settings(first: Facts, second: Facts) -> list[Setting]:
    """What stages were told otherwise; what several were told alike stands there once."""
    one, two = parameters(first), parameters(second)
    found: dict[tuple[str, str, str], list[str]] = {}
    for stage in dict.fromkeys([*one, *two]):
        was, now = one.get(stage, {}), two.get(stage, {})
        # A stage that one run did not get to was not told otherwise.
        for path in dict.fromkeys([*was, *now]) if was and now else ():
            if was.get(path) != now.get(path):
                told = apart(was.get(path, ""), now.get(path, ""))
                found.setdefault((path, *told), []).append(stage)
    return [Setting(path, tuple(named), a, b) for (path, a, b), named in sorted(found.items())]


def schema(first: Facts, second: Facts) -> list[Change] | None:
    """What differs between the schemas; None if one of the runs has none."""
    if first.schema is None or second.schema is None:
        return None
    return compare(first.schema, second.schema)


def curves(names: tuple[str, str], first: Facts, second: Facts) -> Iterator[tuple[str, Markup]]:
    """A picture of each metric of validation, by epoch, of both runs: its name and the drawing.

    Args:
      names: what the runs are called.
      first: the first run's.
      second: the second run's.
    """
    epochs = [facts.training.get("epochs", []) for facts in (first, second)]
    known = [name for run in epochs for epoch in run[:1] for name in epoch["metrics"]]
    for metric in dict.fromkeys(name for name in known if name.startswith("val_")):
        series = [
            Line(name, [e["epoch"] for e in run], [_or_nan(e["metrics"].get(metric)) for e in run])
            for name, run in zip(names, epochs, strict=True)
            if run
        ]
        told = metric.removeprefix("val_")
        label = f"{told} on the eval examples by epoch, of {' and '.join(names)}"
        yield told, lines(series, label, x_label="epoch", y_label=told)


def _metrics(facts: Facts) -> dict[str, float | None]:
    report = facts.evaluation
    found: dict[str, float | None] = dict(report.get("metrics", {}))
    for part in report.get("slices", []):
        where = ", ".join(f"{column} {value}" for column, value in part["slice"].items())
        found |= {f"{name} · {where}": value for name, value in part["metrics"].items()}
    return found


def _judged(name: str, first: float | None, second: float | None) -> Row:
    known = METRICS.get(name.partition(" · ")[0])
    if first is None or second is None or first == second or known is None or not known.better:
        return Row(name, first, second)
    rises = second > first
    return Row(name, first, second, "second" if rises == (known.better == "higher") else "first")


def _sampled(first: Facts, second: Facts, names: Mapping[str, str]) -> list[Row]:
    one, two = _values(first, names), _values(second, names)
    return [Row(name, one.get(name), two.get(name)) for name in dict.fromkeys([*one, *two])]


def _values(facts: Facts, names: Mapping[str, str]) -> dict[str, float]:
    return {
        " · ".join([names[sample.name], *_told(sample.labels)]): float(sample.value)
        for sample in facts.samples
        if sample.name in names and (sample.name, sample.labels.get("stage")) != _READ_AGAIN
    }


def _told(labels: Mapping[str, str]) -> Iterable[str]:
    # A source's name stands in the name of the stage that reads it.
    shown: dict[str, Any] = {k: v for k, v in labels.items() if v and k != "source"}
    if not labels.get("stage", "").endswith(labels.get("source", "")):
        shown["source"] = labels["source"]
    return map(str, shown.values())


def apart(first: str, second: str) -> tuple[str, str]:
    """Of two lists, as JSON, only what the other has not; anything else as it is."""
    try:
        one, two = json.loads(first), json.loads(second)
    except ValueError:
        return first, second
    if not isinstance(one, list) or not isinstance(two, list) or set(one) == set(two):
        return first, second
    alone = [[str(item) for item in a if item not in b] for a, b in ((one, two), (two, one))]
    return ", ".join(alone[0]), ", ".join(alone[1])


def _seconds(run: Run, stage: str) -> float | None:
    return run.seconds.get(stage) if run.nodes.get(stage) in ("done", "failed") else None


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
