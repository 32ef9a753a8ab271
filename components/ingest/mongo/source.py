"""The source ``mongo``: its settings, and what they promise to ``RowSource``."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pydantic

from components.ingest.plan import Column, Plan, Times
from components.ingest.source import FROZEN, Name, Partitions, RowSource, Url, Variable

if TYPE_CHECKING:
    import pyarrow as pa

ArrayChoice = Literal["first", "last", "count", "sum", "mean", "min", "max", "join"]
"""What becomes of an array: one of its values, how many it has, or its texts with commas."""

_PARAMETERS = (":begin", ":end", ":as_of")


class MongoField(pydantic.BaseModel):
    """Where a column's value stands in a document, and what becomes of arrays on the way."""

    model_config = FROZEN

    path: Name
    array: ArrayChoice | None = None


class MongoSource(RowSource):
    """Documents of a collection, flattened into rows.

    ``fields`` says by column its dotted path. A path through an array of documents gives an array;
    without ``array`` it stays one (a list of one kind). ``filter`` goes before all else, then
    ``pipeline``; both may hold ``":begin"``, ``":end"`` and ``":as_of"``, and values that YAML does
    not know as MongoDB's Extended JSON writes them (``{$oid: …}``). The stretch of time is asked of
    the time's path after the pipeline: it holds BSON dates, or numbers that ``time_unit`` tells.

    ``partitions`` cuts by ``_id`` (as $bucketAuto finds) or by the time column (equal stretches).
    ``watermark`` is a path whose greatest value, with the number of documents, tells whether the
    data changed; without one each run reads the source anew.
    """

    cast_hint: ClassVar[str] = "Convert {column} in the source's pipeline ($convert)"
    filter_hint: ClassVar[str] = "Leave such documents out in the source's filter"

    kind: Literal["mongo"]
    url_env: Variable | None = None
    url: Url | None = None
    database: Name | None = None
    collection: Name
    filter: dict[str, Any] = pydantic.Field(default_factory=dict)
    pipeline: list[dict[str, Any]] = pydantic.Field(default_factory=list)
    fields: Annotated[dict[Name, MongoField], pydantic.Field(min_length=1)]
    partitions: Partitions | None = None
    watermark: Name | None = None

    @pydantic.field_validator("fields", mode="before")
    @classmethod
    def _path_alone_is_enough(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: {"path": v} if isinstance(v, str) else v for k, v in value.items()}

    @pydantic.field_validator("fields")
    @classmethod
    def _columns_are_names(cls, value: dict[str, MongoField]) -> dict[str, MongoField]:
        for column in value:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", column):
                raise ValueError(
                    f"column {column!r}: expected letters, digits and '_', beginning with a letter"
                )
        return value

    @pydantic.model_validator(mode="after")
    def _columns_are_there(self) -> "MongoSource":
        for setting, column in self.named_columns.items():
            if column not in self.fields:
                raise ValueError(f"{setting} names {column!r}; fields are {', '.join(self.fields)}")
        if self.fields[self.time].array is not None:
            raise ValueError(f"fields.{self.time}: the time is no array")
        if self.partitions and self.partitions.column not in ("_id", self.time):
            raise ValueError(
                f"partitions.column is {self.partitions.column!r}: expected '_id' or {self.time!r}"
            )
        if not (self.url or self.url_env):
            raise ValueError("expected url_env: the variable that holds mongodb://…, or url")
        for unbound in sorted(set(_texts([self.filter, self.pipeline])) - set(_PARAMETERS)):
            if re.fullmatch(r":\w+", unbound):
                raise ValueError(f"{unbound!r} isn't bound: expected {', '.join(_PARAMETERS)}")
        return self

    # Imported in the methods: pymongo and Arrow take longer than all the rest of the settings.

    def place(self, name: str) -> str:
        """Hosts, database and collection, without user and password."""
        from components.ingest.mongo.connect import place

        return place(name, self)

    def fingerprint(self, name: str, as_of: int) -> str:
        """The greatest value under ``watermark`` and how many documents there are."""
        from components.ingest.mongo.reading import fingerprint

        return fingerprint(name, self)

    def plan(self, name: str, times: Times) -> Plan:
        """Settles the columns by the first batch, and cuts the documents into parts."""
        from components.ingest.mongo.reading import plan

        return plan(name, self, times)

    def plan_entities(
        self, name: str, times: Times, entities: Sequence[int | str | bytes] | None
    ) -> Plan:
        """Asks for the entities, unless ``types`` says that they are stored otherwise."""
        from components.ingest.mongo.reading import plan

        return plan(name, self, times, None if self.entity in self.types else entities)

    def read(
        self, name: str, times: Times, columns: Sequence[Column], partition: Any
    ) -> "Iterator[pa.RecordBatch]":
        """Reads a part, a batch of the server's at a time."""
        from components.ingest.mongo.reading import read

        return read(name, self, columns, partition)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
