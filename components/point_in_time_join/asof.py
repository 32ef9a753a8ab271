"""The as-of match: which row of a source was the newest that an observation could know."""

import numpy as np

from components.ingest.ordering import Ints, order_and_places, order_of


def event_order(entity: Ints, time: Ints, known: Ints | None = None) -> Ints:
    """Orders rows by entity, time, known-at and their order: int64[n], indices of rows."""
    return order_of(entity, time) if known is None else order_of(entity, time, known)


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
    if not len(row_entity):
        return np.full(len(entity), -1, np.int64)
    visible = row_time if row_known is None else np.maximum(row_time, row_known)
    order, seen = order_and_places(row_entity, visible, entity, time)
    if row_known is not None:
        by_event = event_order(row_entity, row_time, row_known)
        rank = np.empty(len(by_event), np.int64)
        rank[by_event] = np.arange(len(by_event))
        # Ranks ascend with the entity first, so a running maximum over all rows never brings a
        # row of one entity to another.
        order = by_event[np.maximum.accumulate(rank[order])]
    rows = order[np.maximum(seen, 1) - 1]
    matches = (seen > 0) & (row_entity[rows] == entity)
    if tolerance is not None:
        matches &= time - row_time[rows] <= tolerance
    return np.where(matches, rows, -1)
