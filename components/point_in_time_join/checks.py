"""Checks on the whole of a join, which no single bucket can make."""

from components.ingest.durations import format_instant
from components.ingest.errors import DataError, shorten
from components.ingest.kinds import AnySource
from components.ingest.sensor.source import SensorSource
from components.ingest.source import RowSource
from components.ingest.split import DataWindow
from components.point_in_time_join.feeds import check_columns
from components.point_in_time_join.settings import JoinSettings
from components.point_in_time_join.splits import SPLITS
from components.point_in_time_join.tally import FeedTally, Span, SplitTally, Tally

LIKE_LABEL_ROWS = 100
"""From how many rows on a feature that always equals the label is taken for its copy."""


def check_whole(tally: Tally, settings: JoinSettings, window: DataWindow) -> None:
    """Refuses a join whose examples would mislead.

    Args:
      tally: of all buckets.
      settings: the join's settings.
      window: the splits' places in time.

    Raises:
      DataError: if a problem was met in a bucket, a column that settings name is nowhere, a source
        matches nothing, a split is empty or its label constant, or a feature is the label's copy.
    """
    if tally.problems:
        raise DataError(*min(tally.problems, key=str))
    _check_spine(tally, settings, window)
    for name, feed in sorted(tally.feeds.items()):
        _check_feed(name, feed, tally.spine, settings)
    for split in SPLITS:
        _check_split(split, tally, settings, window)
    _check_likeness(tally, settings)


def source_of(feed: str, settings: JoinSettings) -> AnySource:
    """The settings of the source that a feed belongs to."""
    return settings.sources[feed.partition("/")[0]]


def _check_spine(tally: Tally, settings: JoinSettings, window: DataWindow) -> None:
    if not tally.spine.rows:
        raise DataError(
            settings.name,
            "rows",
            "the spine has none",
            "Check its query and that data lies between "
            f"{format_instant(window.begin)} and {format_instant(window.end)}",
        )
    needed = [settings.spine.entity, settings.spine.time, settings.label.name]
    check_columns(settings.name, tally.spine.columns, needed)


def _check_feed(name: str, feed: FeedTally, spine: FeedTally, settings: JoinSettings) -> None:
    source = source_of(name, settings)
    if not feed.rows:
        raise DataError(
            name,
            "rows",
            "the source has none, so nothing can be joined from it",
            "Check its query or path and the time that it covers, or take it out of sources",
        )
    if isinstance(source, RowSource):
        keys = [source.entity, source.time, *([source.known_at] if source.known_at else [])]
        read = [c for window in source.windows for c in window.aggregate]
        check_columns(name, feed.columns, [*keys, *read])
    if feed.matched or not feed.observations:
        return
    ranges = f"{name} {_shown(feed.span)}, {settings.name} {_shown(spine.span)}"
    if feed.span and spine.span:
        reach = _reach(source)
        too_old = reach is not None and feed.span.last < spine.span.first - reach
        if feed.span.first > spine.span.last or too_old:
            raise DataError(
                name,
                "times",
                f"no overlap in time: {ranges}",
                "Check both sources' time columns, units and time zones, and as-of",
            )
    if not feed.shared:
        raise DataError(
            name,
            "entities",
            f"none of the {feed.entities} entities in {settings.name} is in it",
            "Check that both sources' entity columns hold the same identifiers, written alike",
        )
    if isinstance(source, RowSource) and source.windows:
        return
    raise DataError(
        name,
        "rows",
        f"no observation finds one that is known at its time and young enough: {ranges}",
        "Check known_at, or set a longer tolerance",
    )


def _reach(source: AnySource) -> int | None:
    """How old a row may be and still match; None: any age."""
    if isinstance(source, SensorSource):
        return source.tolerance or 2 * max(window.step for window in source.windows)
    if source.windows:
        return max(window.size for window in source.windows)
    return source.tolerance


def _check_split(split: str, tally: Tally, settings: JoinSettings, window: DataWindow) -> None:
    begin, end = (
        (window.train_begin, window.train_end)
        if split == "train"
        else (window.eval_begin, window.eval_end)
    )
    where = f"split {split!r}"
    stretch = f"from {format_instant(begin)} to {format_instant(end)}"
    counted = tally.splits.get(split, SplitTally())
    if not counted.rows:
        dropped = ", ".join(f"{count} {reason}" for reason, count in tally.dropped.items())
        raise DataError(
            settings.name,
            where,
            f"no examples {stretch}; {settings.name} has rows {_shown(tally.spine.span)}"
            + (f"; dropped: {dropped}" if dropped else ""),
            _mend_split(settings),
        )
    name = settings.label.name
    if len(counted.classes) == 1:
        (value,) = counted.classes
        raise DataError(
            settings.name,
            f"{where}: label {name!r}",
            f"all {counted.rows} examples {stretch} have class {shorten(value)}, and a "
            "classification needs two",
            f"{_mend_split(settings)}; or check how the query makes the label",
        )
    if not counted.classes and counted.moments.squares == 0 and split == "train":
        raise DataError(
            settings.name,
            f"{where}: label {name!r}",
            f"all {counted.rows} examples {stretch} have the value {counted.moments.mean:g}",
            f"{_mend_split(settings)}; or check how the query makes the label",
        )


def _mend_split(settings: JoinSettings) -> str:
    if settings.split.by == "time":
        return "Choose another as-of, or longer split.train or split.eval"
    return "Choose another as-of, a longer split.window, or another split.eval or split.salt"


def _check_likeness(tally: Tally, settings: JoinSettings) -> None:
    rows = sum(counted.rows for counted in tally.splits.values())
    for name, (valid, same) in sorted(tally.likeness.items()):
        if valid == same == rows and rows >= LIKE_LABEL_ROWS:
            raise DataError(
                settings.name,
                f"feature {name!r}",
                f"it equals the label {settings.label.name!r} in each of {rows} examples, so it is "
                "its copy",
                "Leave it out of the query: when the model serves, it cannot be known",
            )


def _shown(met: Span | None) -> str:
    if met is None:
        return "without times"
    return f"from {format_instant(met.first)} to {format_instant(met.last)}"
