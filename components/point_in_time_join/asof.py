"""The as-of match: which row of a source was the newest that an observation could know."""

import numpy as np

from components.ingest.windows import Ints, first_after


def event_order(entity: Ints, time: Ints, known: Ints | None = None) -> Ints:
    """Orders rows by entity, time, known-at and their order: int64[n], indices of rows."""
    keys = (time, entity) if known is None else (known, time, entity)
    return np.lexsort(keys)


def as_of(
    entity: Ints,
    time: Ints,
    row_entity: Ints,
    row_time: Ints,
    row_known: Ints | None = None,
    tolerance: int | None = None,
) -> Ints:
    """Finds for each observation the latest row of its entity that was known at its time.

    A row is seen by observations of its entity at ``t`` with ``row_time <= t`` and
    ``row_known <= t``. Of those the latest ``row_time`` wins; among equals the latest
    ``row_known``, then the last in order.

    Args:
      entity: int64[m], codes of the observations' entities.
      time: int64[m], the observations' times, microseconds.
      row_entity: int64[n], codes of the rows' entities, in any order.
      row_time: int64[n], when what a row tells of happened, microseconds.
      row_known: int64[n], when the row came to be known; None: as it happened.
      tolerance: how old ``row_time`` may be at most, microseconds; None: any age.

    Returns:
      int64[m]: indices of rows, -1 where there is none.
    """
    by_event = event_order(row_entity, row_time, row_known)
    # Ranks ascend with the entity first, so a running maximum over all rows never brings a row of
    # one entity to another.
    if row_known is None:
        visible = row_time
        by_sight, newest = by_event, np.arange(len(by_event))
    else:
        visible = np.maximum(row_time, row_known)
        rank = np.empty(len(by_event), np.int64)
        rank[by_event] = np.arange(len(by_event))
        by_sight = np.lexsort((rank, visible, row_entity))
        newest = np.maximum.accumulate(rank[by_sight])
    keys = row_entity[by_sight]
    begin = np.searchsorted(keys, entity, side="left").astype(np.int64)
    end = np.searchsorted(keys, entity, side="right").astype(np.int64)
    seen = first_after(visible[by_sight], time, begin, end)
    found = np.full(len(entity), -1, np.int64)
    some = np.flatnonzero(seen > begin)
    rows = by_event[newest[seen[some] - 1]]
    if tolerance is not None:
        fresh = time[some] - row_time[rows] <= tolerance
        some, rows = some[fresh], rows[fresh]
    found[some] = rows
    return found
