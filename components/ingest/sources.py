"""Settings of a database as a source: a query under ``sources:`` in settings.yaml.

The pipeline hands each component its source as JSON (``model_dump_json``), so that a component
needs nothing but its own settings. No secret stands here: a database is named by the environment
variable that holds its URL.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

from components.ingest.plan import Column, Plan, Preview, Times
from components.ingest.source import Name, Partitions, RowSource, Variable
from components.ingest.spans.settings import SqlIncremental

if TYPE_CHECKING:
    import pyarrow as pa

_SECRET = re.compile(r"passw|pwd|secret|token", re.IGNORECASE)


class SqlSource(RowSource):
    """Rows of a SQL query.

    ``:begin``, ``:end`` and ``:as_of`` are bound as parameters; they arrive in the type the
    database compares its times with (``time_type``).
    """

    kind: Literal["sql"]
    query: Name
    url_env: Variable | None = None
    url: Name | None = None
    partitions: Partitions | None = None
    watermark: Name | None = None
    incremental: SqlIncremental | None = None
    connect_attempts: Annotated[int, pydantic.Field(ge=1, le=20)] = 4

    @pydantic.field_validator("url")
    @classmethod
    def _url_without_password(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # Importing SQLAlchemy takes longer than all the rest of the settings.
        import sqlalchemy.engine
        import sqlalchemy.exc

        try:
            url = sqlalchemy.engine.make_url(value)
        except (sqlalchemy.exc.ArgumentError, ValueError):
            raise ValueError(
                "expected a SQLAlchemy URL such as 'sqlite:///data/plant.db'"
            ) from None
        if url.password is not None or any(_SECRET.search(key) for key in url.query):
            raise ValueError(
                "a password must not stand in settings: put the URL into an environment variable "
                "and name it as url_env"
            )
        return value

    # Imported in the methods: SQLAlchemy takes longer than all the rest of the settings.

    def place(self, name: str) -> str:
        """The database's URL without its password."""
        from components.ingest.sql.connect import database_url

        return database_url(name, self).render_as_string(hide_password=True)

    def fingerprint(self, name: str, as_of: int) -> str:
        """See ``sql.watermark``."""
        from components.ingest import sql
        from components.ingest.sql.connect import connected

        with connected(name, self):
            pass  # A watermark of a file's size would not find out that it is no database.
        return sql.watermark(name, self, as_of)

    def identity(self, name: str) -> str:
        """Of a SQLite or DuckDB file its disk's number of it."""
        from components.ingest.sql.connect import database_file, database_url

        path = database_file(database_url(name, self))
        return str(path.stat().st_ino) if path is not None and path.exists() else ""

    def plan(self, name: str, times: Times) -> Plan:
        """See ``sql.plan``."""
        from components.ingest import sql

        return sql.plan(name, self, times)

    def read(
        self, name: str, times: Times, columns: Sequence[Column], partition: Any
    ) -> "Iterator[pa.RecordBatch]":
        """See ``sql.read_partition``."""
        from components.ingest import sql

        return sql.read_partition(name, self, times, columns, partition)

    def day_watermarks(self, name: str, days: Sequence[Times]) -> list[str] | None:
        """See ``sql.day_watermarks``."""
        from components.ingest import sql

        return sql.day_watermarks(name, self, days)

    def preview(self, name: str, times: Times, rows: int = 20) -> Preview:
        """See ``sql.preview``."""
        from components.ingest import sql

        return sql.preview(name, self, times, rows)

    def entity_rows(
        self, name: str, times: Times, entities: Sequence[int | str | bytes] | None
    ) -> "pa.Table":
        """See ``sql.entities``: the query stays whole, the database chooses the entities."""
        from components.ingest.sql.entities import entity_rows

        return entity_rows(name, self, times, entities)
