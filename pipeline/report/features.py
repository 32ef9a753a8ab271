"""Feature distributions, train beside eval, those that moved most first."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.anomaly_gate.statistics_files import common_stats, feature_name, read_statistics
from pipeline.report import anomalies, charts, numbers
from pipeline.report.run import Run

_FIRST, _MOST = 9, 60
_VALUES = 6
_STANDARD = statistics_pb2.Histogram.HistogramType.STANDARD
_Features = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Feature:
    """A feature's picture, and what is told below it."""

    name: str
    drawing: Markup
    told: str


@dataclasses.dataclass(frozen=True)
class Features:
    """What the section shows: pictures at once, pictures behind a fold, and a table of all."""

    first: list[Feature]
    more: list[Feature]
    table: list[list[str]]
    splits: list[str]
    left_out: int

    @property
    def head(self) -> list[str]:
        """The table's headings."""
        told = ("missing", "mean", "lowest to highest")
        return ["Column", "Moved", *(f"{split}: {what}" for split in self.splits for what in told)]

    @property
    def right(self) -> list[int]:
        """Which of the table's columns are numbers."""
        return list(range(1, len(self.head)))


def of(run: Run) -> Features | None:
    """The section; None where no statistics were made.

    Columns that the model does not see, such as the entity's and the time's, stand in the table
    alone.
    """
    folder = run.place("StatisticsGen", "statistics")
    splits = read_statistics(folder) if folder is not None else {}
    if not splits:
        return None
    by_split: dict[str, _Features] = {
        split: {feature_name(f): f for f in found.datasets[0].features}
        for split, found in splits.items()
    }
    report = anomalies.report_of(run)
    moved = {move["feature"]: float(move["value"]) for move in (report or {}).get("skew", [])}
    every = list(dict.fromkeys(name for features in by_split.values() for name in features))
    order = sorted(every, key=lambda name: (-moved.get(name, 0.0), name))
    config = run.plan["inputs"].get("trainer_config") or {}
    shown = [name for name in order if name in _used(config)] if config else order
    drawn = [_feature(name, by_split, moved.get(name)) for name in shown[:_MOST]]
    return Features(
        drawn[:_FIRST],
        drawn[_FIRST:],
        [_row(name, by_split, moved.get(name)) for name in order],
        list(by_split),
        max(len(shown) - _MOST, 0),
    )


def _used(config: dict[str, Any]) -> set[str]:
    groups = config["features"].values()
    return {name for group in groups for name in group} | {config["label"]["name"]}


def _feature(name: str, by_split: dict[str, _Features], moved: float | None) -> Feature:
    found = [(split, features.get(name)) for split, features in by_split.items()]
    known = [(split, feature) for split, feature in found if feature is not None]
    label = f"Distribution of {name}: {' against '.join(split for split, _ in known)}"
    if any(feature.HasField("string_stats") for _, feature in known):
        names = _commonest([feature for _, feature in known])
        series = [charts.Histogram(split, [], _shares(feature, names)) for split, feature in known]
        drawing = charts.histograms(series, label, names=[*names, "all others"])
    else:
        drawing = charts.histograms([_histogram(*one) for one in known], label)
    missing = [numbers.percent(_missing(feature)) for _, feature in known]
    told = f"missing {' / '.join(missing)}" if set(missing) != {"0 %"} else "never missing"
    return Feature(name, drawing, told + ("" if moved is None else f", moved {moved:.3f}"))


def _histogram(split: str, feature: Any) -> charts.Histogram:
    standard = [h for h in feature.num_stats.histograms if h.type == _STANDARD]
    buckets = list(standard[0].buckets) if standard else []
    counts = np.array([bucket.sample_count for bucket in buckets], float)
    edges = [bucket.low_value for bucket in buckets]
    edges += [buckets[-1].high_value] if buckets else []
    if not np.isfinite(edges).all():
        # Infinite values have no place on an axis; AnomalyGate tells of them.
        return charts.Histogram(split, [], [])
    return charts.Histogram(split, edges, counts / max(counts.sum(), 1e-9))


def _commonest(features: Sequence[Any]) -> list[str]:
    counts: dict[str, float] = {}
    for feature in features:
        for bucket in feature.string_stats.rank_histogram.buckets:
            counts[bucket.label] = counts.get(bucket.label, 0.0) + bucket.sample_count
    return sorted(counts, key=lambda name: (-counts[name], name))[:_VALUES]


def _shares(feature: Any, names: Sequence[str]) -> list[float]:
    """The share of each name among the values, and that of all others."""
    stats = feature.string_stats
    total = max(float(stats.common_stats.num_non_missing), 1.0)
    counts = {bucket.label: bucket.sample_count for bucket in stats.rank_histogram.buckets}
    shares = [counts.get(name, 0.0) / total for name in names]
    return [*shares, max(1.0 - sum(shares), 0.0) if sum(shares) < 0.999 else 0.0]


def _missing(feature: Any) -> float:
    common = common_stats(feature)
    every = common.num_missing + common.num_non_missing
    return float(common.num_missing / every) if every else 1.0


def _row(name: str, by_split: dict[str, _Features], moved: float | None) -> list[str]:
    cells = [name, numbers.NOTHING if moved is None else f"{moved:.3f}"]
    for features in by_split.values():
        feature = features.get(name)
        if feature is None:
            cells += ["absent", "", ""]
        elif feature.HasField("string_stats"):
            unique = numbers.count(feature.string_stats.unique)
            cells += [numbers.percent(_missing(feature)), f"{unique} values", ""]
        else:
            stats = feature.num_stats
            spread = f"{numbers.decimal(stats.min)} to {numbers.decimal(stats.max)}"
            cells += [numbers.percent(_missing(feature)), numbers.decimal(stats.mean), spread]
    return cells
