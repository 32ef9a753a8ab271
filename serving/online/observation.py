"""What a request is about, for the header ``x-observation``: of which entities, at which times.

A model asks for neither, so that without it nothing in a kept request tells which label will be its
truth. The server keeps the text with the request; ``python -m pipeline monitor`` reads it.
"""

import urllib.parse

import numpy as np
import pyarrow as pa

from components.ingest.durations import format_instant

HEADER = "x-observation"
MOST = 4_096
"""Characters; more are not told, as servers and proxies refuse long headers."""


def observation(table: pa.Table, entity: str, time: str) -> str:
    """The header's text, such as ``machine_id=17&observed_at=2025-04-17T06:00:00Z``.

    Args:
      table: n rows, as ``FeatureReader`` gives them.
      entity: the spine's column of the entity.
      time: the spine's column of the time, microseconds.

    Returns:
      A pair of keys for each row, in order; "" if that is too long, or without these columns.
    """
    if len(table) > MOST or not {entity, time} <= set(table.column_names):
        return ""
    pairs: list[tuple[str, str | bytes]] = []
    times = np.asarray(table[time], np.int64).tolist()
    for who, when in zip(table[entity].to_pylist(), times, strict=True):
        pairs += [(entity, who if isinstance(who, bytes) else str(who))]
        pairs += [(time, format_instant(when))]
    text = urllib.parse.urlencode(pairs)
    return text if len(text) <= MOST else ""
