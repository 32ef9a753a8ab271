"""The source ``influx``: its settings, and what they promise to ``RowSource``."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pydantic

from components.ingest.plan import Column, Plan, Times
from components.ingest.source import Name, Partitions, RowSource, Url, Variable

if TYPE_CHECKING:
    import pyarrow as pa


class InfluxSource(RowSource):
    """Points of a measurement in InfluxDB 1.x (or a later one's 1.x API), read by InfluxQL.

    ``tags`` and ``fields`` are the columns beside the time; ``where`` is an InfluxQL condition.
    ``partitions`` cuts the time into equal stretches. With ``watermark: true`` the number of each
    field's values and the newest ones tell whether the data changed (an older value that is written
    over is not seen); without it each run reads the source anew.
    """

    cast_hint: ClassVar[str] = "Write {column} in one type, or ask for it in types"
    filter_hint: ClassVar[str] = "Add where: {column} <> '' to the source"

    kind: Literal["influx"]
    url_env: Variable | None = None
    url: Url | None = None
    database: Name
    retention: Name | None = None
    measurement: Name
    tags: list[Name] = pydantic.Field(default_factory=list)
    fields: Annotated[list[Name], pydantic.Field(min_length=1)]
    where: Name | None = None
    time: Name = "time"
    partitions: Partitions | None = None
    watermark: bool = False

    @property
    def columns(self) -> list[str]:
        """All columns: the time, the tags, the fields."""
        return [self.time, *self.tags, *self.fields]

    @pydantic.model_validator(mode="after")
    def _columns_are_there(self) -> "InfluxSource":
        for setting, column in self.named_columns.items():
            if column not in self.columns:
                raise ValueError(
                    f"{setting} names {column!r}; tags and fields are {', '.join(self.columns[1:])}"
                )
        twice = {column for column in self.columns if self.columns.count(column) > 1}
        if twice:
            raise ValueError(f"column {min(twice)!r} stands twice among time, tags and fields")
        if self.partitions and self.partitions.column != self.time:
            raise ValueError(
                f"partitions.column is {self.partitions.column!r}: expected {self.time!r}"
            )
        if not (self.url or self.url_env):
            raise ValueError("expected url_env: the variable that holds http://…:8086, or url")
        return self

    # Imported in the methods: Arrow takes longer than all the rest of the settings.

    def place(self, name: str) -> str:
        """URL, database and measurement, without user and password."""
        from components.ingest.influx.http import place

        return place(name, self)

    def fingerprint(self, name: str, as_of: int) -> str:
        """How many values each field has before ``as_of``, and the newest ones."""
        from components.ingest.influx.reading import fingerprint

        return fingerprint(name, self, as_of)

    def plan(self, name: str, times: Times) -> Plan:
        """Takes the columns' kinds from the server, and cuts the time."""
        from components.ingest.influx.reading import plan

        return plan(name, self, times)

    def plan_entities(
        self, name: str, times: Times, entities: Sequence[int | str | bytes] | None
    ) -> Plan:
        """Asks for the entities, unless ``types`` says that they are stored otherwise."""
        from components.ingest.influx.reading import plan

        return plan(name, self, times, None if self.entity in self.types else entities)

    def read(
        self, name: str, times: Times, columns: Sequence[Column], partition: Any
    ) -> "Iterator[pa.RecordBatch]":
        """Reads a part as CSV, which Arrow parses while it arrives."""
        from components.ingest.influx.reading import read

        return read(name, self, columns, partition)
