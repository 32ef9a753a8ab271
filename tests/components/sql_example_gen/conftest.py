"""Databases to read from, and a source's settings with defaults."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.ingest import sql
from components.ingest.durations import parse_instant
from components.ingest.sources import SqlSource

ALL_TIME = sql.Times(0, parse_instant("2100-01-01"), parse_instant("2100-01-01"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    from tests.postgres import Postgres

    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Any]:
    from tests.mariadb import MariaDb

    with MariaDb() as server:
        yield server


@pytest.fixture
def make_source() -> Callable[..., SqlSource]:
    def make(**settings: Any) -> SqlSource:
        defaults = {
            "kind": "sql",
            "query": "SELECT * FROM readings",
            "entity": "id",
            "time": "at",
            "connect_attempts": 1,
        }
        return SqlSource.model_validate({**defaults, **settings})

    return make


@pytest.fixture
def database(tmp_path: Path) -> Callable[..., str]:
    """Makes a SQLite file; gives its URL."""

    def make(*statements: str, rows: list[tuple[Any, ...]] | None = None) -> str:
        path = tmp_path / "plant.db"
        with sqlite3.connect(path) as connection:
            for statement in statements:
                connection.execute(statement)
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO readings VALUES ({marks})", rows)
        connection.close()
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def read() -> Callable[..., dict[str, list[Any]]]:
    """Reads a whole source twice, as a stream and by its plan's parts; gives the columns."""

    def columns(source: SqlSource, times: sql.Times = ALL_TIME) -> dict[str, list[Any]]:
        import pyarrow as pa

        plan = sql.plan("readings", source, times)
        schema = pa.schema([(column.name, column.arrow_type) for column in plan.columns])
        streamed = pa.Table.from_batches(list(sql.read_source("readings", source, times)))
        parts = [
            batch
            for partition in plan.partitions
            for batch in sql.read_partition("readings", source, times, plan.columns, partition)
        ]
        table = pa.Table.from_batches(parts, schema=schema)
        assert streamed.schema == schema
        assert streamed.num_rows == table.num_rows
        return table.to_pydict()

    return columns
