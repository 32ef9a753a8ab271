"""What was found as a page: one file, no network."""

import pathlib

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from components.anomaly_gate.statistics_files import feature_name
from components.ingest.durations import format_instant
from pipeline.monitor.look import Look
from pipeline.report.charts.histograms import Histogram, histograms
from pipeline.report.page import render as render_page
from pipeline.settings import Settings

_HERE = pathlib.Path(__file__).parent
_PICTURES = 12
_NAMES = 8


def render(settings: Settings, seen: Look) -> str:
    """The page's HTML.

    Args:
      settings: the project's settings.
      seen: what was found.
    """
    told = seen.document()
    pictured = dict.fromkeys(
        one.feature for one in seen.comparisons if one.feature in seen.served.features.column_names
    )
    return render_page(
        "drift.html",
        _HERE,
        project=settings.project.name,
        told=told,
        moved=[one for one in told["comparisons"] if one["moved"]],
        pictures=[(name, picture(seen, name)) for name in list(pictured)[:_PICTURES]],
        window=(format_instant(seen.window.begin), format_instant(seen.window.end)),
    )


def picture(seen: Look, name: str) -> Markup:
    """A feature's distribution in training and as served."""
    feature = next(
        f for f in seen.baseline.statistics["train"].datasets[0].features if feature_name(f) == name
    )
    values = seen.served.features[name].drop_null()
    label = f"{name}: training and served"
    if feature.HasField("string_stats"):
        counts = {b.label: b.sample_count for b in feature.string_stats.rank_histogram.buckets}
        served = {
            one["values"].as_py().decode(errors="replace"): one["counts"].as_py()
            for one in values.value_counts()
        }
        shown = sorted({*counts, *served}, key=lambda v: -max(counts.get(v, 0), served.get(v, 0)))
        sides = [
            Histogram(side, [], [one.get(v, 0) / max(1, sum(one.values())) for v in shown[:_NAMES]])
            for side, one in (("training", counts), ("served", served))
        ]
        return histograms(sides, label, names=shown[:_NAMES])
    buckets = next(h.buckets for h in feature.num_stats.histograms if h.type == h.QUANTILES)
    edges = [buckets[0].low_value, *(bucket.high_value for bucket in buckets)]
    shares = np.array([bucket.sample_count for bucket in buckets])
    found, places = np.histogram(
        np.asarray(values.cast(pa.float64())) if len(values) else np.array(edges), bins=20
    )
    return histograms(
        [
            Histogram("training", edges, shares / max(1.0, shares.sum())),
            Histogram("served", places, found / max(1, len(values))),
        ],
        label,
    )
