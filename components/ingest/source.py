"""What a source of rows is: the one class to write for a store that is not here yet.

A source's settings and its reading are one class: a frozen pydantic model whose fields stand under
``sources:`` in settings.yaml, and whose methods say where the rows lie, whether they may have
changed, how they are cut, and what they are. docs/sources.md shows one, and the tests that any
source must pass (``conformance.py``).
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pydantic

from components.ingest.durations import MICROSECONDS, Duration, format_duration
from components.ingest.errors import DataError
from components.ingest.fields import FROZEN as FROZEN
from components.ingest.fields import Text as Name
from components.ingest.fields import naming_variable
from components.ingest.plan import Column, NoRowsError, Plan, Preview, Times
from components.ingest.spans.settings import Incremental

if TYPE_CHECKING:
    # Settings are read in a fraction of the time that importing Arrow takes.
    import pyarrow as pa

Aggregate = Literal["count", "sum", "mean", "std", "min", "max", "first", "last", "slope", "age"]
"""What a window can tell of the values that fall into it; ``age`` is hours since the last one."""

ColumnType = Literal["int", "float", "bool", "text", "bytes", "time"]


def _has_no_password(value: str) -> str:
    if re.search(r"//[^/@]*:[^/@]*@|[?&][^=&]*(passw|pwd|secret|token)[^=&]*=", value, re.I):
        raise ValueError(
            "a password must not stand in settings: put the URL into an environment variable and "
            "name it as url_env"
        )
    return value


Variable = Annotated[str, naming_variable("PLANT_DB_URL")]
"""An environment variable's name: secrets are named, never written into settings."""

Url = Annotated[str, pydantic.AfterValidator(_has_no_password)]
"""A URL without a password."""


class Partitions(pydantic.BaseModel):
    """How a source is cut into parts that are read side by side."""

    model_config = FROZEN

    column: Name
    count: Annotated[int, pydantic.Field(ge=1, le=1024)]


class EventWindow(pydantic.BaseModel):
    """Aggregates over the events of the last ``size`` before each observation."""

    model_config = FROZEN

    size: Duration
    aggregate: Annotated[dict[Name, list[Aggregate]], pydantic.Field(min_length=1)]

    def features(self) -> list[str]:
        """Names of the columns it makes, without the source's prefix."""
        size = format_duration(self.size)
        return [f"{c}_{a}_{size}" for c, aggregates in self.aggregate.items() for a in aggregates]


class Source(pydantic.BaseModel):
    """Anything under ``sources:``: it has a place, and tells whether what lies there changed.

    ``name`` is in all methods the source's name in settings, for messages.
    """

    model_config = FROZEN

    kind: str
    entity: Name
    tolerance: Duration | None = None

    @property
    def lookback(self) -> int:
        """How far before the first observation data are needed, microseconds."""
        raise NotImplementedError

    @property
    def variables(self) -> list[str]:
        """The environment variables that it needs: the values of its fields ``…_env``."""
        held = {field: getattr(self, field) for field in type(self).model_fields}
        return [value for field, value in held.items() if field.endswith("_env") and value]

    def place(self, name: str) -> str:
        """Where the data lie, for people, without a secret.

        Raises:
          DataError: if the settings or the environment don't tell.
        """
        raise NotImplementedError

    def fingerprint(self, name: str, as_of: int) -> str:
        """A text that changes whenever the data up to ``as_of`` may have changed.

        It is part of the cache's key and lies in ML Metadata: no secret may stand in it. A source
        that can't know gives a text never seen before, and each run reads it anew.

        Raises:
          DataError: if the source does not answer.
        """
        raise NotImplementedError


class RowSource(Source):
    """Rows with an entity and a time.

    They become events that are joined to the observations: the newest row not later than each, or
    aggregates over ``windows``. ``types`` settles columns' kinds, ``timezone`` says where naive
    times are read, ``time_unit`` what numbers count that are times.

    A part that breaks off while it is read is read anew, ``read_attempts`` times in all; a source
    from which nothing comes for ``read_timeout`` is taken as broken off.
    """

    cast_hint: ClassVar[str] = "Cast it in the query (CAST({column} AS ...))"
    """How a user gives a column another type in the source itself, for messages."""

    filter_hint: ClassVar[str] = "Add WHERE {column} IS NOT NULL to the query"
    """How a user leaves out rows without a column."""

    content_version: ClassVar[int] = 1
    """Raised when the same settings over the same data give other rows: kept days are read anew."""

    time: Name
    known_at: Name | None = None
    windows: list[EventWindow] = []
    timezone: Name = "UTC"
    time_unit: Literal["s", "ms", "us"] | None = None
    types: dict[Name, ColumnType] = {}
    batch_rows: Annotated[int, pydantic.Field(ge=1, le=1_000_000)] = 10_000
    incremental: Incremental | None = None
    read_attempts: Annotated[int, pydantic.Field(ge=1, le=20)] = 4
    read_timeout: Duration = 10 * MICROSECONDS["m"]

    @pydantic.field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        return check_zone(value)

    @property
    def named_columns(self) -> dict[str, str]:
        """By setting the column that it names: the entity, the times, each of ``types``."""
        named = {"entity": self.entity, "time": self.time, "known_at": self.known_at}
        named |= {f"types.{column}": column for column in self.types}
        return {setting: column for setting, column in named.items() if column is not None}

    @property
    def lookback(self) -> int:
        """How far before the first observation rows are needed, microseconds."""
        return max([w.size for w in self.windows] + [self.tolerance or 0])

    def identity(self, name: str) -> str:
        """Tells a store from another one under the same name; empty where nothing does.

        Parts must come from one store: a database's file may be moved over while it is read.
        """
        return ""

    def check_identity(self, name: str, before: str) -> None:
        """Refuses parts of which some may be of another store.

        Raises:
          DataError: if the store is another one than ``identity`` told before.
        """
        if self.identity(name) != before:
            raise DataError(
                name,
                self.place(name),
                "it was removed or moved over while the run read it",
                "Run again",
            )

    def plan(self, name: str, times: Times) -> Plan:
        """Settles the columns and cuts the rows of a stretch of time into parts.

        Every row with ``begin <= time < end`` is in exactly one part.

        Raises:
          DataError: if the source can't be read, lacks a column that the settings name, or has no
            rows (``no_rows``).
        """
        raise NotImplementedError

    def read(
        self, name: str, times: Times, columns: Sequence[Column], partition: Any
    ) -> "Iterator[pa.RecordBatch]":
        """Reads one part of a plan; called in another process, perhaps more than once.

        Yields:
          Batches of at most ``batch_rows`` rows in the schema that ``columns`` tell.

        Raises:
          BrokenOffError: if the source was reached and broke off; the part is then read again.
          DataError: if the source can't be read, or a value does not fit its column.
        """
        raise NotImplementedError

    def day_watermarks(self, name: str, days: Sequence[Times]) -> list[str] | None:
        """For each day a text that changes with its rows; None where the source can't tell.

        Then the days within ``incremental.late`` of a run are read again each time.

        Raises:
          DataError: if the source does not answer.
        """
        return None

    def plan_entities(
        self, name: str, times: Times, entities: Sequence[int | str | bytes] | None
    ) -> Plan:
        """A plan that has the rows of some entities, and may have those of others.

        A source that can ask for some entities does so here; others are read whole.
        """
        return self.plan(name, times)

    def preview(self, name: str, times: Times, rows: int = 20) -> Preview:
        """The first rows.

        Raises:
          DataError: as ``plan`` and ``read``.
        """
        import pyarrow as pa

        plan = self.plan(name, times)
        table = plan.arrow_schema.empty_table()
        for partition in plan.partitions:
            batch = next(iter(self.read(name, times, plan.columns, partition)), None)
            if batch is not None and batch.num_rows:
                table = pa.Table.from_batches([batch.slice(0, rows)])
                break
        return Preview(table.column_names, {c.name: c.kind for c in plan.columns}, table)

    def entity_rows(
        self, name: str, times: Times, entities: Sequence[int | str | bytes] | None
    ) -> "pa.Table":
        """Rows of some entities, for prediction; of all if ``entities`` is None.

        Raises:
          DataError: as ``plan`` and ``read``, but no rows are no error.
        """
        import pyarrow as pa

        try:
            plan = self.plan_entities(name, times, entities)
        except NoRowsError:
            return pa.table({self.entity: pa.nulls(0), self.time: pa.nulls(0)})
        batches = [
            batch if entities is None else _of_entities(batch, self.entity, entities)
            for partition in plan.partitions
            for batch in self.read(name, times, plan.columns, partition)
        ]
        return pa.Table.from_batches(batches, schema=plan.arrow_schema)


def check_zone(value: str) -> str:
    """The name of a time zone, as it is.

    Raises:
      ValueError: if there is none of this name.
    """
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected an IANA time zone such as 'UTC' or 'Europe/Berlin'") from None
    return value


def _of_entities(
    batch: "pa.RecordBatch", column: str, entities: Sequence[int | str | bytes]
) -> "pa.RecordBatch":
    import pyarrow as pa
    import pyarrow.compute as pc

    held = batch.column(batch.schema.get_field_index(column))
    return batch.filter(pc.is_in(held, value_set=pa.array(entities, held.type)))
