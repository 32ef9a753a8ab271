"""What cleaning is told, and the table of clean readings that it makes."""

import dataclasses
import zlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.sensor.quarantine import as_text
from components.ingest.sensor.source import SensorSource

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LINE_BITS = 40
"""A reading's place is ``file index << LINE_BITS | line``: later places arrived later."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What cleaning needs to know; the same for all parts of a source.

    Attributes:
      name: the source's name.
      source: its settings.
      entity: what entities are: ``int`` or ``text``.
      begin: the earliest time of a reading that is looked at, microseconds.
      end: the latest time of a reading, and of its receipt.
      offsets: by gateway, microseconds to add to its times.
    """

    name: str
    source: SensorSource
    entity: str
    begin: int
    end: int
    offsets: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def per_row(self) -> int:
        """How many readings are due in a row."""
        return 1 if self.source.layout == "long" else len(self.source.channels)

    @property
    def schema(self) -> pa.Schema:
        """Columns of clean readings.

        ``entity``, ``time``, ``received`` (if known), ``place``; then in wide sources float64
        columns ``0``, ``1``, … by channel (NaN: no reading), in long ones ``channel`` (its index)
        and ``value``.
        """
        entity = pa.int64() if self.entity == "int" else pa.dictionary(pa.int32(), pa.string())
        fields = [("entity", entity), ("time", pa.int64())]
        if self.source.time.received_at:
            fields.append(("received", pa.int64()))
        fields.append(("place", pa.int64()))
        if self.source.layout == "long":
            fields += [("channel", pa.int16()), ("value", pa.float64())]
        else:
            fields += [(str(i), pa.float64()) for i in range(len(self.source.channels))]
        return pa.schema(fields)


def hash_entities(entity: pa.Array, buckets: int) -> Ints:
    """Which bucket each row's entity falls into; the same on any machine.

    Args:
      entity: int64 or dictionary of text, none missing.
      buckets: how many there are.

    Returns:
      int64[n], 0 to buckets - 1.
    """
    if pa.types.is_dictionary(entity.type):
        crc = [zlib.crc32(text.encode()) % buckets for text in entity.dictionary.to_pylist()]
        return np.array(crc, np.int64)[entity.indices.to_numpy(zero_copy_only=False)]
    numbers = entity.to_numpy(zero_copy_only=False).astype(np.uint64)
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    # The share of the range that a number lies in: a product is had sooner than a remainder.
    return ((mixed >> np.uint64(33)) * np.uint64(buckets) >> np.uint64(31)).astype(np.int64)


def read_entities(column: pa.Array, kind: str) -> tuple[pa.Array, Bools | None]:
    """Entities in the source's one type, and which of them don't fit it."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kind == "text":
        encoded = as_text(column).dictionary_encode()
        named = [value or None for value in encoded.dictionary.to_pylist()]
        if None not in named:
            return encoded, None
        return _without_blank(column), None
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64()), None
    encoded = as_text(column).dictionary_encode()
    good = pc.fill_null(pc.match_substring_regex(encoded.dictionary, r"^-?\d{1,18}$"), False)
    numbers = pc.if_else(good, encoded.dictionary, "0").cast(pa.int64())
    codes = pc.fill_null(encoded.indices, 0)
    if not len(numbers):
        return pa.array(np.zeros(len(column), np.int64)), None
    fits = np.array(good.to_numpy(zero_copy_only=False), bool)
    entity = numbers.take(codes)
    return entity, None if fits.all() else ~fits[codes.to_numpy(zero_copy_only=False)]


def _without_blank(column: pa.Array) -> pa.Array:
    text = as_text(column)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text).dictionary_encode()
