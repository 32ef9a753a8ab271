"""Messages into the columns that a sensor source's settings name."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from components.ingest.sensor.numbers import to_floats
from components.ingest.sensor.quarantine import as_text
from components.ingest.sensor.reading import wanted_columns
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.times import parse_times
from pipeline.collect.messages import Messages
from pipeline.collect.payloads import (
    Bad,
    decode,
    find_rows,
    keys_column,
    number_columns,
    numbers_column,
    picker,
    topic_level,
    whole_numbers,
)
from pipeline.settings.collect import Stream

Ints = npt.NDArray[np.int64]

INSTANT = pa.timestamp("us", "UTC")
REJECTED = pa.schema(
    [
        ("reason", pa.string()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("number", pa.int64()),
        ("arrived", INSTANT),
        ("payload", pa.binary()),
    ]
)
"""What can't be landed: a whole message, or a reading of one, with the reason.

``number`` is Kafka's offset in ``partition``, or MQTT's packet id. ``payload`` is whole: the
message, or the reading as JSON.
"""
REASONS = (
    "malformed",
    "empty",
    "no_rows",
    "not_an_object",
    "not_a_number",
    "no_time",
    "bad_time",
)

# Of the calendar that Arrow, Python and folders' names share: the years 1 to 9999.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
_Foreign = tuple[int, bytes | None, str]
_TOPIC = re.compile(r"@topic\[(-?\d+)\]")


class Parsed(NamedTuple):
    """What messages held: ``readings``, rows in the source's columns, and REJECTED rows."""

    readings: pa.Table
    rejected: pa.Table


@dataclasses.dataclass(frozen=True)
class _Work:
    messages: Messages
    documents: list[Any]
    rows: list[dict[str, Any]]
    of: Ints

    def reading(self, index: int) -> bytes | None:
        """A reading as it was sent."""
        whole = self.messages.payloads[int(self.of[index])]
        return _json(self.rows[index], whole) if self.rows else whole

    def spread(self, values: Sequence[Any]) -> list[Any]:
        """Values of messages, repeated for their readings."""
        return [values[index] for index in self.of.tolist()]


class Reader:
    """Reads messages as a sensor source's rows.

    Values stay as they were sent: units, ranges and gateways' clocks are SensorExampleGen's. Times
    become instants, which needs their unit and zone and tells the day that a reading belongs to.

    Args:
      source: the sensor source.
      stream: where in the messages its columns stand.
    """

    def __init__(self, source: SensorSource, stream: Stream) -> None:
        self._source = source
        self._payload = stream.payload
        self._unit = stream.time_unit or source.time.unit
        self._timezone = stream.timezone or source.time.timezone
        wanted = wanted_columns(source)
        self._times = [source.time.column]
        self._times += [source.time.received_at] if source.time.received_at else []
        fields = dict(stream.fields)
        if source.time.received_at:
            fields.setdefault(source.time.received_at, "@arrival")
        self._from_arrival = {name for name, path in fields.items() if path == "@arrival"}
        self._columns: dict[str, Callable[[_Work], pa.Array]] = {}
        self._plain = [name for name in wanted.numbers if name not in fields]
        for name in wanted.names:
            self._columns[name] = self._column(name, fields.get(name), name in wanted.numbers)

    def read(self, messages: Messages) -> Parsed:
        """Reads messages.

        Returns:
          All that they held: as readings, or as rejected rows.
        """
        if self._payload.kind == "number":
            documents, bad = _numbers(messages.payloads)
            kept = [index for index in range(len(messages)) if index not in bad]
            work = _Work(messages, documents, [], np.array(kept, np.int64))
            foreign: list[_Foreign] = []
        else:
            documents, bad = decode(messages.payloads)
            rows, of, values = find_rows(documents, self._payload.rows, bad)
            foreign = [(i, _json(v, messages.payloads[i]), "not_an_object") for i, v in values]
            work = _Work(messages, documents, rows, of)
        together = (number_columns(work.rows, self._plain) if work.rows else None) or {}
        columns = {
            name: together[name] if name in together else make(work)
            for name, make in self._columns.items()
        }
        keep = np.ones(len(work.of), bool)
        for name in self._times:
            columns[name], reasons = self._instants(name, columns[name])
            for reason, mask in reasons:
                where = np.flatnonzero(mask & keep)
                foreign += [(int(work.of[i]), work.reading(i), reason) for i in where.tolist()]
                keep &= ~mask
        readings = pa.table(columns)
        if not keep.all():
            readings = readings.filter(pa.array(keep))
        return Parsed(readings, _rejected(messages, bad, foreign))

    def _column(self, name: str, path: str | None, number: bool) -> Callable[[_Work], pa.Array]:
        make = numbers_column if number else keys_column
        if path is None:
            return lambda work: make([row.get(name) for row in work.rows])
        if path == "@arrival":
            return lambda work: pa.array(np.array(work.messages.arrived, np.int64)[work.of])
        if path == "@payload":
            return lambda work: make(work.spread(work.documents))
        if path == "@key":
            return lambda work: _typed(work.spread(_texts(work.messages.keys)), name, self._source)
        if path == "@topic":
            return lambda work: pa.array(work.spread(work.messages.topics), pa.string())
        if level := _TOPIC.fullmatch(path):
            number_of = int(level[1])
            return lambda work: _typed(
                work.spread([topic_level(topic, number_of) for topic in work.messages.topics]),
                name,
                self._source,
            )
        find = picker(path)
        return lambda work: make(find(work.rows, work.documents, work.of))

    def _instants(
        self, name: str, column: pa.Array
    ) -> tuple[pa.Array, list[tuple[str, npt.NDArray[np.bool_]]]]:
        """A column of times as instants, and by reason which rows have none that can be used."""
        if name in self._from_arrival:
            return column.cast(INSTANT), []
        times = parse_times(column, self._unit, self._timezone)
        nothing = np.zeros(len(column), bool)
        missing = nothing if times.missing is None else times.missing
        bad = nothing if times.bad is None else times.bad
        bad = bad | (times.instants < _FIRST) | (times.instants > _LAST)
        told = [("bad_time", bad)]
        if name == self._source.time.column:
            told.append(("no_time", missing))
        usable = np.where(bad, 0, times.instants)
        return pa.array(usable, pa.int64(), mask=missing).cast(INSTANT), told


def _numbers(payloads: Sequence[bytes | None]) -> tuple[list[Any], Bad]:
    """Payloads that are a number each; NaN for one that says it is."""
    texts = [(payload or b"").decode(errors="replace") for payload in payloads]
    values, unread = to_floats(pa.array(texts, pa.string()))
    bad = {i: "empty" for i, text in enumerate(texts) if not text.strip()}
    for index in [] if unread is None else np.flatnonzero(unread).tolist():
        bad.setdefault(index, "not_a_number")
    return values.tolist(), bad


def _texts(keys: Sequence[bytes | None]) -> list[str | None]:
    return [None if key is None else key.decode(errors="replace") for key in keys]


def _typed(values: list[Any], name: str, source: SensorSource) -> pa.Array:
    column = pa.array(values, pa.string())
    return whole_numbers(column) if name == source.entity else column


def _json(value: Any, whole: bytes | None) -> bytes | None:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # Nested deeper than it writes, though it reads it.
        return whole


def _rejected(messages: Messages, bad: Bad, foreign: list[_Foreign]) -> pa.Table:
    entries = [(index, messages.payloads[index], reason) for index, reason in bad.items()]
    entries += foreign
    of = [index for index, _, _ in entries]
    return pa.table(
        [
            pa.array([reason for _, _, reason in entries], pa.string()),
            pa.array([messages.topics[i] for i in of], pa.string()),
            pa.array([messages.partitions[i] for i in of], pa.int32()),
            pa.array([messages.numbers[i] for i in of], pa.int64()),
            pa.array([messages.arrived[i] for i in of], INSTANT),
            pa.array([payload for _, payload, _ in entries], pa.binary()),
        ],
        schema=REJECTED,
    )


def join(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of one source as one; a column whose type differs among them becomes text.

    Args:
      tables: at least one, with the same columns.
    """
    columns = {}
    for name in tables[0].column_names:
        pieces = [table.column(name) for table in tables]
        if any(piece.type != pieces[0].type for piece in pieces):
            # A piece without any value says nothing of the type.
            told = {piece.type for piece in pieces if piece.null_count < len(piece)}
            kind = told.pop() if len(told) == 1 else pa.string()
            pieces = [piece if piece.type == kind else _as(piece, kind) for piece in pieces]
        columns[name] = pa.chunked_array(
            [chunk for piece in pieces for chunk in piece.chunks], pieces[0].type
        )
    return pa.table(columns)


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)], kind)
    return pa.chunked_array([as_text(chunk) for chunk in column.chunks], kind)
