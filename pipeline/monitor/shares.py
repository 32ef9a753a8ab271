"""Shares of values that are missing, that training never saw, that the schema's range leaves out.

TFDV's anomalies tell that there is one such value, not how many there are of how many.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from components.anomaly_gate.statistics_files import Statistics, feature_name
from pipeline.monitor.baseline import Baseline
from pipeline.monitor.chance import Chance
from pipeline.monitor.comparison import Comparison
from pipeline.monitor.distances import Kind, values_of
from pipeline.settings.drift import Drift

_SHOWN = 3


def missing(
    found: Statistics,
    train: Statistics,
    kinds: Mapping[str, Kind],
    by_chance: Chance,
    drift: Drift,
) -> Iterator[Comparison]:
    """By how much the share of rows without a value rose since training."""
    ours, theirs = values_of(found), values_of(train)
    for name in kinds:
        was, is_now = 1 - theirs.get(name, 0.0), 1 - ours.get(name, 0.0)
        yield Comparison(
            "missing",
            name,
            "share of rows",
            max(0.0, is_now - was),
            drift.missing,
            by_chance.missing.get(name, 0.0),
            f"{is_now:.1%} without a value, {was:.1%} in training",
        )


def unseen(
    features: pa.Table,
    train: Statistics,
    baseline: Baseline,
    kinds: Mapping[str, Kind],
    drift: Drift,
) -> Iterator[Comparison]:
    """The share of texts that neither training nor the schema knows."""
    domains = {d.name: list(d.value) for d in baseline.schema.string_domain}
    of_schema = {
        f.name: domains.get(f.domain, []) + list(f.string_domain.value)
        for f in baseline.schema.feature
    }
    for feature in train.datasets[0].features:
        name, stats = feature_name(feature), feature.string_stats
        # Of more values than TFDV keeps nobody knows the rest.
        if kinds.get(name) != "categorical" or stats.unique > len(stats.rank_histogram.buckets):
            continue
        seen = {bucket.label for bucket in stats.rank_histogram.buckets} | set(of_schema[name])
        values = features[name].drop_null().value_counts()
        counts = {
            one["values"].as_py().decode(errors="replace"): one["counts"].as_py() for one in values
        }
        new = {value: count for value, count in counts.items() if value not in seen}
        total = max(1, sum(counts.values()))
        told = sorted(new, key=lambda value: -new[value])[:_SHOWN]
        yield Comparison(
            "unseen",
            name,
            "share of values",
            sum(new.values()) / total,
            drift.unseen,
            seen=", ".join(f"{value!r} {new[value] / total:.1%}" for value in told),
        )


def out_of_range(
    features: pa.Table, baseline: Baseline, kinds: Mapping[str, Kind], drift: Drift
) -> Iterator[Comparison]:
    """The share of numbers that lie outside the schema's range."""
    for feature in baseline.schema.feature:
        kind = feature.WhichOneof("domain_info")
        if kinds.get(feature.name) != "numeric" or kind not in ("float_domain", "int_domain"):
            continue
        domain = getattr(feature, kind)
        low = domain.min if domain.HasField("min") else -np.inf
        high = domain.max if domain.HasField("max") else np.inf
        values = np.asarray(features[feature.name].drop_null().cast(pa.float64()))
        if not values.size or (np.isinf(low) and np.isinf(high)):
            continue
        outside = values[(values < low) | (values > high)]
        yield Comparison(
            "out_of_range",
            feature.name,
            "share of values",
            outside.size / values.size,
            drift.out_of_range,
            seen=f"such as {outside[0]:g}, expected {low:g} to {high:g}" if outside.size else "",
        )
