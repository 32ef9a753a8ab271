"""The join as a plain function over Arrow tables: training and prediction call the same one."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import format_duration
from components.ingest.entities import check_same_type, encode_entities, is_text
from components.ingest.errors import DataError
from components.ingest.threads import map_ahead
from components.ingest.windows import Floats, Ints
from components.point_in_time_join.asof import as_of
from components.point_in_time_join.event_windows import EventSeries
from components.point_in_time_join.feeds import (
    Feed,
    Rows,
    check_columns,
    feeds_of,
    usable_rows,
)
from components.point_in_time_join.settings import JoinSettings

_MANY = 50_000
"""So many rows take longer to gather than a thread to start; predictions ask for a few."""

_TELLS_OF_ANY = ("count", "age")


@dataclasses.dataclass(frozen=True)
class Match:
    """What a feed gave to m observations.

    Attributes:
      rows: the feed's rows.
      age: float64[m], microseconds from the newest row that an observation got to the
        observation; NaN where it got none.
      shared: how many of the observations' entities the feed has.
      entities: how many entities the observations have.
    """

    rows: Rows
    age: Floats
    shared: int
    entities: int


def join(
    spine: pa.Table, sources: Mapping[str, Mapping[str, pa.Table]], settings: JoinSettings
) -> pa.Table:
    """Joins to each observation what was known of its entity at its time.

    Args:
      spine: m observations: the spine's query's columns. Entities are whole numbers or text, times
        int64 microseconds or timestamps. Labels need not be there.
      sources: by source and split its table: ``{"errors": {"all": …}, "telemetry": {"every_1h":
        …}}``. Columns that the settings name must be there, if without any value.
      settings: the join's settings; its split is not read.

    Returns:
      The spine's columns as they are and, named after their source, the features, in the spine's
      order of rows; null where nothing was known.

    Raises:
      DataError: if a column is missing or of a wrong type, or the label would come in as a feature.
    """
    return join_matched(spine, sources, settings)[0]


def join_matched(
    spine: pa.Table, sources: Mapping[str, Mapping[str, pa.Table]], settings: JoinSettings
) -> tuple[pa.Table, dict[str, Match]]:
    """Does the work of ``join``, and tells by feed how well it matched."""
    observed = usable_rows(spine, settings.name, settings.spine.entity, settings.spine.time)
    if observed.left_out:
        reason = next(iter(observed.left_out))
        raise DataError(
            settings.name,
            f"{observed.left_out[reason]} of {len(spine)} rows",
            reason,
            "Each observation needs an entity and a time",
        )
    feeds = [
        (feed, sources[name][split])
        for name in sorted(sources)
        for split, feed in feeds_of(name, settings.sources[name], sources[name]).items()
    ]
    joined = spine
    matches = {}
    for feed, table in feeds:
        if not len(table) and not table.num_columns:
            table = pa.table({c: pa.nulls(0) for c in [*feed.keys, *feed.aggregated]})
        check_columns(feed.name, table.column_names, [*feed.keys, *feed.aggregated])
        rows = usable_rows(table, feed.name, feed.entity, feed.time, feed.known_at)
        check_same_type(
            observed.entity,
            f"{settings.name}.{settings.spine.entity}",
            rows.entity,
            f"{feed.name}.{feed.entity}",
        )
        (entity, row_entity), codes = encode_entities([observed.entity, rows.entity])
        there = np.zeros((2, codes + 1), bool)
        there[0, entity] = True
        there[1, row_entity] = True
        if feed.windows:
            columns, age = _windowed(feed, rows, entity, observed.time, row_entity)
        else:
            columns, age = _latest(feed, rows, entity, observed.time, row_entity)
        matches[feed.name] = Match(rows, age, int(there.all(0).sum()), int(there[0].sum()))
        for name, column in columns:
            joined = _append(joined, feed, name, column, settings.label.name)
    return joined, matches


def _latest(
    feed: Feed, rows: Rows, entity: Ints, time: Ints, row_entity: Ints
) -> tuple[list[tuple[str, pa.ChunkedArray]], Floats]:
    """The columns of the latest row that each observation could know, and that row's age."""
    found = as_of(entity, time, row_entity, rows.time, rows.known, feed.tolerance)
    nothing = found < 0
    index = pa.array(found, mask=nothing)
    age = np.full(len(found), np.nan)
    age[~nothing] = time[~nothing] - rows.time[found[~nothing]]
    names = [name for name in rows.table.column_names if name not in feed.keys]
    columns = [rows.table[name] for name in names]
    spread = map_ahead if len(index) > _MANY else map
    return list(zip(names, spread(lambda c: c.take(index), columns), strict=True)), age


def _windowed(
    feed: Feed, rows: Rows, entity: Ints, time: Ints, row_entity: Ints
) -> tuple[list[tuple[str, pa.Array]], Floats]:
    """Aggregates over each observation's windows, and the age of the newest event in the widest."""
    series = EventSeries(entity, time, row_entity, rows.time, rows.known)
    columns = {name: _numbers(rows.table[name]) for name in feed.aggregated}
    made: list[tuple[str, pa.Array]] = []
    for window in feed.windows:
        for name, aggregates in window.aggregate.items():
            values, present = columns[name]
            text_only = [a for a in aggregates if a not in _TELLS_OF_ANY]
            if values is None and text_only:
                raise _not_a_number(feed, rows.table, name, text_only[0])
            result = series.aggregate(values, present, window.size, aggregates)
            size = format_duration(window.size)
            for aggregate, column in result.items():
                filled = pa.array(column, mask=np.isnan(column))
                made.append((f"{name}_{aggregate}_{size}", filled))
    widest = max(window.size for window in feed.windows)
    age = series.aggregate(None, None, widest, ["age"])["age"]
    return made, age * 3_600_000_000


def _numbers(column: pa.ChunkedArray) -> tuple[Floats | None, npt.NDArray[np.bool_] | None]:
    """A column's numbers (None if it has none) and where it has a value (None: everywhere)."""
    kind = column.type
    present = np.asarray(column.is_valid(), bool) if column.null_count else None
    if pa.types.is_null(kind):
        return np.zeros(len(column)), np.zeros(len(column), bool)
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.int64()), pa.int64()
    if pa.types.is_timestamp(kind):
        column, kind = column.cast(pa.timestamp("us", kind.tz), safe=False), pa.int64()
        column = column.cast(kind)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None, present
    filled = pc.fill_null(column, pa.scalar(0, kind)) if column.null_count else column
    values = np.asarray(filled).astype(np.float64, copy=False)
    missing = np.isnan(values)
    if missing.any():
        present = ~missing if present is None else present & ~missing
    return values, present


def _not_a_number(feed: Feed, table: pa.Table, name: str, aggregate: str) -> DataError:
    present = table[name].drop_null()
    value = present[0].as_py() if len(present) else None
    kind = table[name].type
    return DataError(
        feed.name,
        f"windows: {aggregate!r} of column {name!r}",
        f"expected numbers, found {'text' if is_text(kind) else kind}",
        "Of such a column windows can tell count and age; or let the query give it as a number",
        value=value.decode(errors="replace") if isinstance(value, bytes) else value,
    )


def _append(
    joined: pa.Table, feed: Feed, name: str, column: pa.Array | pa.ChunkedArray, label: str
) -> pa.Table:
    feature = f"{feed.source}_{name}"
    if label in (feature, *_origins(feed, name)):
        raise DataError(
            feed.name,
            f"column {label!r}",
            "it has the label's name: joined, it would tell the model what it is to predict",
            "Leave it out of the query; if it holds only what was known by its time, name it "
            "otherwise",
        )
    if feature in joined.column_names:
        raise DataError(
            feed.name,
            f"column {name!r}",
            f"it becomes {feature!r}, and a column of that name is there already",
            "Name one of the two otherwise in its query",
        )
    return joined.append_column(feature, column)


def _origins(feed: Feed, name: str) -> Iterator[str]:
    """The source's columns that a feature may have been made from."""
    if feed.windows:
        yield from feed.aggregated
    else:
        yield name
