"""Reading points: InfluxQL by stretches of time, CSV parsed by Arrow while it arrives.

InfluxDB's CSV does not tell an empty text from a missing one: both are missing. Times are cut to
microseconds.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from components.ingest.errors import DataError
from components.ingest.influx import http
from components.ingest.plan import Column, NoRowsError, Plan, Times, no_rows
from components.ingest.sql.columns import columns_to_batch
from components.ingest.time_parts import TimePart, time_parts

if TYPE_CHECKING:
    from components.ingest.influx.source import InfluxSource

_KINDS = {"float": "float", "integer": "int", "string": "text", "boolean": "bool"}
_CASTS = {"float": "float", "int": "integer", "text": "string", "bool": "boolean"}
_LATEST_NS = 9_223_372_036_854_775_806
"""The latest time that InfluxDB knows, nanoseconds since the epoch: in the year 2262."""


def plan(
    name: str, source: "InfluxSource", times: Times, entities: Sequence[Any] | None = None
) -> Plan:
    """Takes the columns' kinds from the server, and cuts the time.

    Args:
      name: the source's name, for messages.
      source: its settings.
      times: the stretch of time.
      entities: whose points, if their entity is a tag; None: all.

    Raises:
      DataError: if the server can't be read, the measurement lacks a tag or a field, a field is
        written in types that don't go together, or there are no points.
    """
    columns = _columns(name, source, times)
    only = tuple(entities) if entities is not None and source.entity in source.tags else None
    whole = TimePart(times.begin, times.end, only)
    if not http.ask(name, source, f"{_select(source, columns, whole)} LIMIT 1"):
        raise no_rows(name, http.place(name, source), times)
    if only is not None:
        return Plan(columns, (whole,))
    return Plan(columns, time_parts(times, source.partitions.count if source.partitions else 1))


def read(
    name: str, source: "InfluxSource", columns: Sequence[Column], part: TimePart
) -> Iterator[pa.RecordBatch]:
    """Reads a part.

    Yields:
      Batches of at most ``batch_rows`` rows.

    Raises:
      DataError: if the server can't be read or breaks off, or a value does not fit.
    """
    done = 0
    with http.csv(name, source, _select(source, columns, part)) as stream:
        for batch in _parsed(name, source, columns, stream):
            for begin in range(0, batch.num_rows, source.batch_rows):
                arrays = batch.slice(begin, source.batch_rows).columns
                # The server's integers are microseconds since the epoch, whatever time_unit says.
                arrays[0] = arrays[0].view(pa.timestamp("us", "UTC"))
                converted = columns_to_batch(name, source, columns, arrays, done + 1)
                done += converted.num_rows
                yield converted


def fingerprint(name: str, source: "InfluxSource", as_of: int) -> str:
    """See ``InfluxSource.watermark``; a server that does not answer is told at once."""
    if not source.watermark:
        http.ask(name, source, "SHOW DATABASES")
        return f"unknown:{uuid.uuid4().hex}"
    asked = ", ".join(f"count({_quoted(f)}), last({_quoted(f)})" for f in source.fields)
    where = f"time < {min(as_of * 1000, _LATEST_NS)}ns"
    found = http.ask(name, source, f"SELECT {asked} FROM {_measurement(source)} WHERE {where}")
    return f"points:{json.dumps(found[0]['values'][0] if found else [])}"


def _columns(name: str, source: "InfluxSource", times: Times) -> tuple[Column, ...]:
    measurement = _measurement(source)
    tags = [
        key
        for series in http.ask(name, source, f"SHOW TAG KEYS FROM {measurement}")
        for (key,) in series["values"]
    ]
    fields: dict[str, set[str]] = {}
    for series in http.ask(name, source, f"SHOW FIELD KEYS FROM {measurement}"):
        for key, kind in series["values"]:
            fields.setdefault(key, set()).add(_KINDS.get(kind, kind))
    if not fields:
        raise _no_measurement(name, source, times)
    columns = [Column(source.time, "time", converts=True, required=True)]
    for setting, wanted, there in (("tags", source.tags, tags), ("fields", source.fields, fields)):
        for column in wanted:
            if column not in there:
                raise DataError(
                    name,
                    f"column {column!r}",
                    f"{source.measurement} has no such {setting[:-1]}; its {setting} are "
                    f"{', '.join(sorted(there))}",
                    f"Mend {setting} of the source",
                )
            kind = "text" if setting == "tags" else _one_kind(name, source, column, fields[column])
            asked = "time" if column == source.known_at else source.types.get(column)
            required = column == source.entity
            columns.append(Column(column, asked or kind, asked is not None, required))
    return tuple(columns)


def _one_kind(name: str, source: "InfluxSource", column: str, kinds: set[str]) -> str:
    """A field has a type in each shard; integers and floats go together."""
    if kinds == {"int", "float"}:
        return "float"
    if len(kinds) > 1:
        raise DataError(
            name,
            f"column {column!r}",
            f"the field is written as {' and as '.join(sorted(kinds))} in different shards",
            source.cast_hint.format(column=column),
        )
    return next(iter(kinds))


def _no_measurement(name: str, source: "InfluxSource", times: Times) -> NoRowsError:
    found = http.ask(name, source, "SHOW MEASUREMENTS")
    names = [value for series in found for (value,) in series["values"]]
    also = f"; measurements there: {', '.join(names[:20]) or 'none'}"
    return no_rows(name, http.place(name, source), times, also)


def _select(source: "InfluxSource", columns: Sequence[Column], part: TimePart) -> str:
    asked = [f"{_quoted(tag)}::tag" for tag in source.tags]
    for column in columns[1 + len(source.tags) :]:
        cast = "float" if column.kind == "float" and not column.converts else "field"
        asked.append(f"{_quoted(column.name)}::{cast}")
    begin, end = (min(moment * 1000, _LATEST_NS) for moment in (part.begin, part.end))
    where = f"time >= {begin}ns AND time < {end}ns"
    where += f" AND ({source.where})" if source.where else ""
    if part.entities is not None:
        texts = [e.decode() if isinstance(e, bytes) else str(e) for e in part.entities]
        tag = _quoted(source.entity)
        where += f" AND ({' OR '.join(f'{tag} = {_text(text)}' for text in texts)})"
    return f"SELECT {', '.join(asked)} FROM {_measurement(source)} WHERE {where}"


def _measurement(source: "InfluxSource") -> str:
    parts = [source.retention, source.measurement] if source.retention else [source.measurement]
    return ".".join(map(_quoted, parts))


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _parsed(
    name: str, source: "InfluxSource", columns: Sequence[Column], stream: IO[bytes]
) -> Iterator[pa.RecordBatch]:
    """Batches of the columns, the time as int64; none if the answer is empty."""
    header = stream.readline()
    if not header.strip():
        return
    if not header.startswith(b"name,tags,time"):
        said = (header + stream.read(500)).decode(errors="replace")
        raise _unreadable(name, source, " ".join(said.split()))
    names = ["name", "tags", *(column.name for column in columns)]
    kinds: dict[str, pa.DataType] = {column.name: column.arrow_type for column in columns}
    kinds |= {column.name: pa.string() for column in columns[1:] if column.converts}
    try:
        with pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=kinds | {source.time: pa.int64()},
                include_columns=names[2:],
                null_values=[""],
                strings_can_be_null=True,
                true_values=["true"],
                false_values=["false"],
            ),
        ) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise _unreadable(name, source, str(error)) from None


def _unreadable(name: str, source: "InfluxSource", said: str) -> DataError:
    return DataError(
        name,
        http.place(name, source),
        f"the server's answer cannot be read as rows ({said[:300]})",
        "Check the source's where, and the server's log",
    )
