"""Rejected readings as a table, and the files that keep them."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.sensor.text import RAW_LIMIT

QUARANTINE = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("line", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("readings", pa.int32()),
        pa.field("entity", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("time", pa.string()),
        pa.field("value", pa.string()),
    ]
)
"""A rejected reading, or a rejected row that holds ``readings`` of them (then without a channel).

``line`` counts from 1 (in Parquet: rows). ``time`` and ``value`` are as the file writes them; of
duplicate and stuck readings they are the corrected time and the converted value. A malformed line
stands in ``value`` up to 500 characters, another rejected row with its columns parted by tabs.
"""


def rejected_rows(
    file: str | pa.Array,
    reason: str,
    lines: npt.NDArray[np.int64],
    readings: int,
    entity: pa.Array | None = None,
    channel: pa.Array | None = None,
    time: pa.Array | None = None,
    value: pa.Array | None = None,
) -> pa.Table:
    """Quarantine rows of one reason.

    The file is that of all or a column; other columns are text, or None where nothing is known.
    """
    count = len(lines)
    nothing = pa.nulls(count, pa.string())
    return pa.table(
        [
            repeat(file, count) if isinstance(file, str) else file,
            pa.array(lines),
            repeat(reason, count),
            pa.array(np.full(count, readings, np.int32)),
            nothing if entity is None else entity,
            nothing if channel is None else channel,
            nothing if time is None else time,
            nothing if value is None else pc.utf8_slice_codeunits(value, 0, RAW_LIMIT),
        ],
        schema=QUARANTINE,
    )


def repeat(text: str, count: int) -> pa.Array:
    """A text column that holds the same value throughout."""
    return pa.array([text]).take(pa.array(np.zeros(count, np.int64)))


def as_text(column: pa.Array) -> pa.Array:
    """A column as people would read it."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
