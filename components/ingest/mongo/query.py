"""The aggregation that gives a source's rows: filter, pipeline, stretch of time, projection."""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bson import json_util

from components.ingest.durations import MICROSECONDS
from components.ingest.plan import Times
from components.ingest.time_parts import TimePart

if TYPE_CHECKING:
    from components.ingest.mongo.source import MongoSource

KEY = "_document"
"""The projected ``_id``: it tells documents apart in messages."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of the documents in a stretch of time.

    Attributes:
      asked: the stretch that the run asks for: what parameters stand for.
      time: the stretch that this part holds.
      above: the least ``_id`` in the part; None in the part that holds all lesser ones and those
        of other types.
      below: the least ``_id`` past the part; None if there is no bound.
    """

    asked: Times
    time: TimePart
    above: Any = None
    below: Any = None

    def __str__(self) -> str:
        if self.above is None and self.below is None:
            return str(self.time)
        if self.above is None:
            return f"_id not >= {self.below}"
        bound = "" if self.below is None else f" and < {self.below}"
        return f"_id >= {self.above}{bound}"


def stages(source: "MongoSource", part: Part) -> list[dict[str, Any]]:
    """The stages that give a part's documents, before they are projected.

    A filter's and the part's conditions go first if there is no pipeline: an index can serve them.
    """
    given = bound(source, part.asked, source.filter)
    path = source.fields[source.time].path
    wanted: list[Any] = [{path: {"$gte": _instant(source, part.time.begin, up=True)}}]
    wanted.append({path: {"$lt": _instant(source, part.time.end, up=True)}})
    if part.below is not None and part.above is None:
        # A comparison holds within one type: its negation takes the documents of all others.
        wanted.append({"$nor": [{"_id": {"$gte": part.below}}]})
    elif part.above is not None:
        wanted.append({"_id": {"$gte": part.above}})
        wanted += [] if part.below is None else [{"_id": {"$lt": part.below}}]
    if part.time.entities is not None:
        wanted.append({source.fields[source.entity].path: {"$in": list(part.time.entities)}})
    if not source.pipeline:
        return [{"$match": {"$and": [*([given] if given else []), *wanted]}}]
    before = [{"$match": given}] if given else []
    return [*before, *bound(source, part.asked, source.pipeline), {"$match": {"$and": wanted}}]


def projection(source: "MongoSource") -> dict[str, Any]:
    """The stage that flattens: every document has every column, null where it lacks the path."""
    columns: dict[str, Any] = {"_id": 0}
    for column, field in source.fields.items():
        columns[column] = {"$ifNull": [f"${field.path}", None]}
    return {"$project": {**columns, KEY: "$_id"}}


def bound(source: "MongoSource", times: Times, value: Any) -> Any:
    """Filter or pipeline with its parameters bound and its Extended JSON read."""
    values = {
        ":begin": _instant(source, times.begin, up=True),
        ":end": _instant(source, times.end, up=True),
        ":as_of": _instant(source, times.as_of, up=False),
    }

    def replace(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: replace(held) for key, held in inner.items()}
        if isinstance(inner, list):
            return [replace(held) for held in inner]
        return values.get(inner, inner) if isinstance(inner, str) else inner

    return replace(json_util.loads(json.dumps(value)))


def _instant(source: "MongoSource", moment: int, up: bool) -> Any:
    unit = MICROSECONDS[source.time_unit or "ms"]
    count = -(-moment // unit) if up else moment // unit
    if source.time_unit is not None:
        return count
    return _EPOCH + datetime.timedelta(milliseconds=count)


def samples(values: Sequence[Any]) -> list[Any]:
    """Of values to cut at those of the first one's type: a comparison holds within one type."""
    return [value for value in values if type(value) is type(values[0])]
