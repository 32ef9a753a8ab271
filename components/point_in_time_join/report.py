"""What the join reports."""

from collections.abc import Mapping
from typing import Any

from components.ingest.durations import format_duration, format_instant
from components.ingest.source import RowSource
from components.ingest.split import DataWindow
from components.ingest.windows import HOUR
from components.point_in_time_join.checks import check_whole, source_of
from components.point_in_time_join.settings import JoinSettings
from components.point_in_time_join.splits import SPLITS
from components.point_in_time_join.tally import FeedTally, Span, SplitTally, Tally, age_quantile

LOW_MATCH = 0.5
"""The share of observations below which a matched source, other than events, is warned of."""

_CLASSES_SHOWN = 100


def make_report(tally: Tally, settings: JoinSettings, window: DataWindow) -> dict[str, Any]:
    """Checks the whole and writes it down.

    Args:
      tally: of all buckets.
      settings: the join's settings.
      window: the splits' places in time.

    Returns:
      The report, ready for JSON: instants as ISO 8601, ages in hours.

    Raises:
      DataError: if a problem was met in a bucket, a column that settings name is nowhere, a source
        matches nothing, a split is empty or its label constant, or a feature is the label's copy.
    """
    check_whole(tally, settings, window)
    bounds = {
        "train": (window.train_begin, window.train_end),
        "eval": (window.eval_begin, window.eval_end),
    }
    return {
        "summary": ", ".join(_in_words(split, tally.splits[split]) for split in SPLITS),
        "as_of": format_instant(window.as_of),
        "split": settings.split.model_dump(mode="json"),
        "horizon": format_duration(settings.horizon),
        "rows": {split: tally.splits[split].rows for split in SPLITS},
        "splits": {
            split: {
                "begin": format_instant(bounds[split][0]),
                "end": format_instant(bounds[split][1]),
                **_describe_split(tally.splits[split]),
            }
            for split in SPLITS
        },
        "spine": {
            "name": settings.name,
            "rows": tally.spine.rows,
            "dropped": dict(sorted(tally.dropped.items())),
            "duplicates": tally.duplicates,
            **_describe_span(tally.spine.span),
        },
        "sources": {name: _describe_feed(feed) for name, feed in sorted(tally.feeds.items())},
        "warnings": _warnings(tally, settings),
    }


def _in_words(split: str, counted: SplitTally) -> str:
    """``train 23,756 (2.6 % 1)`` where there are two classes, else the rows alone."""
    if len(counted.classes) != 2:
        return f"{split} {counted.rows:,}"
    rare, count = min(counted.classes.items(), key=lambda item: item[1])
    return f"{split} {counted.rows:,} ({count / counted.rows:.1%} are {rare})"


def _warnings(tally: Tally, settings: JoinSettings) -> list[str]:
    found = []
    for name, feed in sorted(tally.feeds.items()):
        source = source_of(name, settings)
        is_events = isinstance(source, RowSource) and bool(source.windows)
        share = feed.matched / feed.observations if feed.observations else 0.0
        if share < LOW_MATCH and not is_events:
            found.append(f"{name}: only {share:.1%} of observations find a row")
        if is_events and not feed.matched:
            found.append(f"{name}: no observation has an event in its windows")
        if feed.shared < feed.entities:
            absent = feed.entities - feed.shared
            found.append(f"{name}: {absent} of {feed.entities} entities are not in it")
        for reason, count in sorted(feed.left_out.items()):
            found.append(f"{name}: {count} of {feed.rows} rows left out: {reason}")
    if tally.duplicates:
        found.append(
            f"{settings.name}: {tally.duplicates} observations repeat another's entity and time"
        )
    if missing := tally.dropped.get("label missing"):
        found.append(f"{settings.name}: {missing} observations dropped: label missing")
    new = set(tally.splits["eval"].classes) - set(tally.splits["train"].classes)
    if new:
        shown = ", ".join(sorted(map(str, new))[:10])
        found.append(f"{settings.name}: eval has label classes that train lacks: {shown}")
    return found


def _describe_split(counted: SplitTally) -> dict[str, Any]:
    described: dict[str, Any] = {"rows": counted.rows, **_describe_span(counted.span)}
    if counted.classes:
        by_count = sorted(counted.classes.items(), key=lambda item: (-item[1], str(item[0])))
        described["classes"] = {str(k): n for k, n in by_count[:_CLASSES_SHOWN]}
    else:
        described["label_mean"] = counted.moments.mean
        described["label_std"] = counted.moments.std
    return described


def _describe_feed(feed: FeedTally) -> dict[str, Any]:
    ages = {}
    for key, share in (("age_median_hours", 0.5), ("age_p95_hours", 0.95)):
        age = age_quantile(feed.ages, share)
        ages[key] = None if age is None else float(f"{age / HOUR:.4g}")
    return {
        "rows": feed.rows,
        "left_out": dict(sorted(feed.left_out.items())),
        "matched": feed.matched,
        "matched_share": feed.matched / feed.observations if feed.observations else None,
        "entities": feed.entities,
        "entities_found": feed.shared,
        **ages,
        **_describe_span(feed.span),
    }


def _describe_span(met: Span | None) -> Mapping[str, str | None]:
    if met is None:
        return {"first": None, "last": None}
    return {"first": format_instant(met.first), "last": format_instant(met.last)}
