"""Reading documents: the server's raw batches, decoded in C, turned into columns by Arrow.

Values are looked at one by one in Python only where Arrow doesn't know their type (ObjectId and
Decimal128) and in arrays of which one value is wanted.
"""

import contextlib
import dataclasses
import datetime
import operator
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import bson
import pyarrow as pa
import pymongo.collection

from components.ingest.errors import DataError, shorten
from components.ingest.mongo.connect import CODEC, collection, place
from components.ingest.mongo.query import KEY, Part, bound, projection, samples, stages
from components.ingest.plan import FAR_FUTURE, Column, Plan, Times, no_rows
from components.ingest.sql.columns import columns_to_batch
from components.ingest.sql.cursor import uncollected
from components.ingest.sql.settle import settle
from components.ingest.time_parts import TimePart, time_parts

if TYPE_CHECKING:
    from components.ingest.mongo.source import MongoSource


_UTC = pa.timestamp("us", "UTC")


def plan(
    name: str, source: "MongoSource", times: Times, entities: Sequence[Any] | None = None
) -> Plan:
    """Settles the columns by the first batch, and cuts the documents into parts.

    Args:
      name: the source's name, for messages.
      source: its settings.
      times: the stretch of time.
      entities: whose documents; None: all.

    Raises:
      DataError: if the server can't be read, there are no documents, none has a column's path, or
        a type has no place in the type map.
    """
    only = None if entities is None else tuple(entities)
    whole = Part(times, TimePart(times.begin, times.end, only))
    with collection(name, source) as documents:
        first = next((batch for batch in _batches(name, documents, source, whole) if batch), None)
        if first is None:
            raise no_rows(name, place(name, source), times, _collections(documents))
        names = list(source.fields)
        rows = list(zip(*first[:-1], strict=True))
        for position, values in enumerate(first[:-1]):
            if all(value is None for value in values):
                rows.append(_with_value(name, source, documents, whole, position))
        columns = settle(name, source, names, rows)
        columns_to_batch(name, source, columns, [_dated(v) for v in first], 1, KEY)
        return Plan(tuple(columns), _parts(source, documents, whole))


def read(
    name: str, source: "MongoSource", columns: Sequence[Column], part: Part
) -> Iterator[pa.RecordBatch]:
    """Reads a part.

    Yields:
      Batches of at most ``batch_rows`` rows, fewer where the server's batch is full (16 MB).

    Raises:
      DataError: if the server can't be read, or a value does not fit; it names the document.
    """
    done = 0
    with collection(name, source) as documents:
        for values in _batches(name, documents, source, part):
            if values:
                held = [_dated(column) for column in values]
                batch = columns_to_batch(name, source, columns, held, done + 1, KEY)
                done += batch.num_rows
                yield batch


def fingerprint(name: str, source: "MongoSource") -> str:
    """See ``MongoSource.watermark``; a server that does not answer is told at once."""
    always = Times(0, FAR_FUTURE, FAR_FUTURE)
    with collection(name, source) as documents:
        documents.database.command("ping")
        if source.watermark is None:
            return f"unknown:{uuid.uuid4().hex}"
        newest = {"_id": None, "count": {"$sum": 1}, "newest": {"$max": f"${source.watermark}"}}
        given = bound(source, always, source.filter)
        found = list(documents.aggregate([{"$match": given}, {"$group": newest}]))
    if not found:
        return "documents:0"
    if found[0]["newest"] is None:
        raise DataError(
            name,
            "watermark",
            "no document has this path",
            "Name one that all have, such as updated_at",
            source.watermark,
        )
    return f"documents:{found[0]['count']}:{found[0]['newest']}"


def _batches(
    name: str, documents: pymongo.collection.Collection, source: "MongoSource", part: Part
) -> Iterator[list[Sequence[Any]]]:
    """By batch the columns' values, the documents' keys last; an empty list where it has none."""
    asked = [*stages(source, part), projection(source)]
    row = operator.itemgetter(*source.fields, KEY)
    for raw in documents.aggregate_raw_batches(asked, batchSize=source.batch_rows):
        with uncollected():
            decoded = bson.decode_all(raw, CODEC)
            held: list[Sequence[Any]] = list(zip(*map(row, decoded), strict=True))
            for position, (column, field) in enumerate(source.fields.items() if held else ()):
                if field.array is not None:
                    held[position] = _chosen(name, column, field.array, held[position], held[-1])
            plain = [_plain(values) for values in held]
            del decoded
        yield plain


def _chosen(
    name: str, column: str, choice: str, values: Sequence[Any], keys: Sequence[Any]
) -> list[Any]:
    """What becomes of a column's arrays; a value that is none is an array of one."""
    chosen: list[Any] = []
    choose = _CHOICES[choice]
    for value, key in zip(values, keys, strict=True):
        inner = value if isinstance(value, list) else [value]
        try:
            chosen.append(choose([v for v in inner if v is not None]))
        except TypeError:
            raise DataError(
                name,
                f"column {column!r}, {KEY} {shorten(key)}",
                f"there is no {choice} of these values",
                f"Choose first, last, count or join, or convert {column} in the pipeline",
                value,
            ) from None
    return chosen


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """A column's values as Arrow knows them."""
    found = set(map(type, values))
    if bson.ObjectId in found:
        values = [str(v) if isinstance(v, bson.ObjectId) else v for v in values]
    if bson.Decimal128 in found:
        values = [_number(v) if isinstance(v, bson.Decimal128) else v for v in values]
    return values


def _dated(values: Sequence[Any]) -> Any:
    """A column of dates as Arrow holds it: BSON's are UTC, whatever ``timezone`` says of texts.

    They are decoded without a zone, which takes half the time.
    """
    found = set(map(type, values))
    if datetime.datetime in found and found <= {datetime.datetime, type(None)}:
        return pa.array(values, pa.timestamp("us")).view(_UTC)
    if list in found:
        with contextlib.suppress(pa.ArrowInvalid, pa.ArrowTypeError):
            lists = pa.array(values)
            if lists.type == pa.list_(pa.timestamp("us")):
                return lists.cast(pa.list_(_UTC))
    return values


def _number(value: bson.Decimal128) -> float:
    # A double is what the pipeline counts in; Arrow's decimals would refuse 40 digits.
    return float(value.to_decimal())


_CHOICES: dict[str, Callable[[list[Any]], Any]] = {
    "first": lambda held: held[0] if held else None,
    "last": lambda held: held[-1] if held else None,
    "count": len,
    "sum": lambda held: sum(held) if held else None,
    "mean": lambda held: sum(held) / len(held) if held else None,
    "min": lambda held: min(held, default=None),
    "max": lambda held: max(held, default=None),
    "join": lambda held: ",".join(map(str, held)) if held else None,
}


def _with_value(
    name: str,
    source: "MongoSource",
    documents: pymongo.collection.Collection,
    whole: Part,
    position: int,
) -> tuple[Any, ...]:
    """A row in which a column that is null in the first ones has a value, if there is one."""
    column, field = list(source.fields.items())[position]
    for condition in ({"$ne": None}, {"$exists": True}):
        asked = [*stages(source, whole), {"$match": {field.path: condition}}, {"$limit": 1}]
        for found in documents.aggregate([*asked, projection(source)]):
            row = {c: [found[c]] for c in source.fields}
            for c, f in source.fields.items():
                if f.array is not None:
                    row[c] = _chosen(name, c, f.array, row[c], [found[KEY]])
            return tuple(_plain(held)[0] for held in row.values())
    if column in source.types:
        return (None,) * len(source.fields)
    document: dict[str, Any] = next(
        documents.aggregate([*stages(source, whole), {"$limit": 1}]), {}
    )
    raise DataError(
        name,
        f"column {column!r}",
        f"no document has the path {field.path}; the first one has {', '.join(document)}",
        f"Mend sources.{name}.fields, or set types: {{{column}: …}} for one that is there at times",
    )


def _parts(
    source: "MongoSource", documents: pymongo.collection.Collection, whole: Part
) -> tuple[Part, ...]:
    asked = source.partitions
    if asked is None or asked.count == 1 or whole.time.entities is not None:
        return (whole,)
    if asked.column == source.time:
        cut = time_parts(whole.asked, asked.count)
        return tuple(dataclasses.replace(whole, time=part) for part in cut)
    buckets = {"$bucketAuto": {"groupBy": "$_id", "buckets": asked.count}}
    found = [row["_id"]["min"] for row in documents.aggregate([*stages(source, whole), buckets])]
    cuts = samples(found[1:])
    bounds = zip([None, *cuts], [*cuts, None], strict=True)
    return tuple(dataclasses.replace(whole, above=low, below=high) for low, high in bounds)


def _collections(documents: pymongo.collection.Collection) -> str:
    """Which collections there are, where the source's isn't one."""
    try:
        names = sorted(documents.database.list_collection_names())
    except pymongo.errors.OperationFailure:
        return ""
    if documents.name in names:
        return ""
    return f"; there is no such collection, but {', '.join(names[:20]) or 'none at all'}"
