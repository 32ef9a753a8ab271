"""One bucket of entities: from its rows to the examples of each split, and the tally of them."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.entities import encode_entities, is_text
from components.ingest.errors import DataError
from components.ingest.sensor.source import SensorSource
from components.ingest.split import DataWindow
from components.ingest.windows import Ints
from components.point_in_time_join.feeds import Rows, usable_rows
from components.point_in_time_join.join import Match, join_matched
from components.point_in_time_join.settings import JoinSettings
from components.point_in_time_join.splits import SPLITS, assign_splits
from components.point_in_time_join.tally import (
    FeedTally,
    SplitTally,
    Tally,
    moments,
    sketch_ages,
    span,
)


def make_examples(
    spine: pa.Table,
    sources: Mapping[str, Mapping[str, pa.Table]],
    settings: JoinSettings,
    window: DataWindow,
) -> tuple[dict[str, pa.Table], Tally]:
    """Makes the examples of a bucket: whole entities, with all their rows of all sources.

    Args:
      spine: the bucket's observations.
      sources: by source and split the bucket's rows, as in ``join``.
      settings: the join's settings.
      window: the splits' places in time.

    Returns:
      By split its examples, by entity and then time; and what was met.

    Raises:
      DataError: as ``join`` does.
    """
    sources = {
        name: {split: _padded(table, settings, name) for split, table in tables.items()}
        for name, tables in sources.items()
    }
    label = settings.label.name
    observed = usable_rows(
        _with_columns(spine, [settings.spine.entity, settings.spine.time, label]),
        settings.name,
        settings.spine.entity,
        settings.spine.time,
    )
    _check_label(observed.table[label], settings)
    tally = Tally(spine=_tally_rows(observed, len(spine), spine))
    side, tally.dropped = assign_splits(observed.time, observed.entity, settings.split, window)
    tally.dropped.update(observed.left_out)

    unlabelled = ~_labelled(observed.table[label]) & (side >= 0)
    if unlabelled.any():
        tally.dropped["label missing"] = int(unlabelled.sum())
        side[unlabelled] = -1

    order, tally.duplicates = _in_order(observed, side)
    taken = observed.table.take(pa.array(order))
    joined, matches = join_matched(taken, sources, settings)
    for name, match in matches.items():
        tally.feeds[name] = _tally_match(match)
    tally.likeness = _likeness(joined, settings)
    examples = {}
    for index, split in enumerate(SPLITS):
        rows = np.flatnonzero(side[order] == index)
        examples[split] = joined.take(pa.array(rows))
        times = observed.time[order][rows]
        tally.splits[split] = _tally_split(examples[split][label], times, settings)
    return examples, tally


def _with_columns(table: pa.Table, names: list[str]) -> pa.Table:
    # In a bucket a column may be absent only because no row of it has a value there.
    for name in names:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table)))
    return table


def _padded(table: pa.Table, settings: JoinSettings, name: str) -> pa.Table:
    source = settings.sources[name]
    if isinstance(source, SensorSource):
        return _with_columns(table, [source.entity, "time", "known_at"])
    aggregated = [column for window in source.windows for column in window.aggregate]
    keys = [source.entity, source.time, *([source.known_at] if source.known_at else [])]
    return _with_columns(table, [*keys, *dict.fromkeys(aggregated)])


def _check_label(label: pa.ChunkedArray, settings: JoinSettings) -> None:
    if not (pa.types.is_null(label.type) or _comparable(label.type, label.type)):
        raise DataError(
            settings.name,
            f"label {settings.label.name!r}",
            f"expected one number or text a row, found {label.type}",
            "Let the query give one value a row",
        )


def _labelled(label: pa.ChunkedArray) -> np.ndarray:
    valid = np.asarray(label.is_valid(), bool)
    if pa.types.is_floating(label.type):
        valid &= ~np.asarray(pc.fill_null(pc.is_nan(label), True), bool)
    return valid


def _in_order(observed: Rows, side: np.ndarray) -> tuple[Ints, int]:
    """The kept observations by entity and time, and how many repeat the one before them."""
    (codes,), _ = encode_entities([observed.entity])
    kept = np.flatnonzero(side >= 0)
    order = kept[np.lexsort((observed.time[kept], codes[kept]))]
    same = (np.diff(codes[order]) == 0) & (np.diff(observed.time[order]) == 0)
    return order, int(same.sum())


def _likeness(joined: pa.Table, settings: JoinSettings) -> dict[str, tuple[int, int]]:
    """By column of the label's kind: rows where it has a value, and those where it is the label."""
    label = joined[settings.label.name]
    keys = (settings.label.name, settings.spine.entity, settings.spine.time)
    counts = {}
    for name in joined.column_names:
        column = joined[name]
        if name in keys or not _comparable(column.type, label.type):
            continue
        if not is_text(label.type):
            column = column.cast(pa.float64())
            same = pc.equal(column, label.cast(pa.float64()))
        else:
            same = pc.equal(column.cast(pa.large_binary()), label.cast(pa.large_binary()))
        valid = len(column) - column.null_count
        counts[name] = (valid, int(pc.sum(same).as_py() or 0))
    return counts


def _comparable(one: pa.DataType, other: pa.DataType) -> bool:
    def is_number(kind: pa.DataType) -> bool:
        return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)

    return (is_text(one) and is_text(other)) or (is_number(one) and is_number(other))


def _tally_rows(rows: Rows, read: int, table: pa.Table) -> FeedTally:
    with_values = {n for n in table.column_names if table[n].null_count < len(table)}
    return FeedTally(rows=read, left_out=rows.left_out, columns=with_values, span=span(rows.time))


def _tally_match(match: Match) -> FeedTally:
    read = len(match.rows.table) + sum(match.rows.left_out.values())
    tally = _tally_rows(match.rows, read, match.rows.table)
    tally.observations = len(match.age)
    tally.matched = int((~np.isnan(match.age)).sum())
    tally.entities = match.entities
    tally.shared = match.shared
    tally.ages = sketch_ages(match.age)
    return tally


def _tally_split(label: pa.ChunkedArray, times: Ints, settings: JoinSettings) -> SplitTally:
    tally = SplitTally(rows=len(label), span=span(times))
    if is_regression(label.type, settings):
        values = np.asarray(label.cast(pa.float64()), np.float64)
        tally.moments = moments(values)
    else:
        for entry in pc.value_counts(label.combine_chunks()).to_pylist():
            value = entry["values"]
            key = value.decode(errors="replace") if isinstance(value, bytes) else value
            tally.classes[key] = entry["counts"]
    return tally


def is_regression(label: pa.DataType, settings: JoinSettings) -> bool:
    """Whether labels are quantities, by the task or, without one, by their type."""
    if settings.label.task is not None:
        return settings.label.task == "regression"
    return pa.types.is_floating(label)
