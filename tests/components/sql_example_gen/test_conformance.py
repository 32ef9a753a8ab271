"""SQL sources hold to what any must: SQLite and PostgreSQL by rows, DuckDB by Arrow batches."""

import datetime
import sqlite3
from typing import Any

import pytest

from components.ingest.conformance import SourceConformance, Subject
from tests import source_rows

TABLE = (
    "CREATE TABLE readings "
    "(machine_id TEXT, moment TIMESTAMP, temperature DOUBLE PRECISION, count BIGINT, ok BOOLEAN,"
    " note TEXT)"
)
INSERT = "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)"
ORDER = ("machine_id", "moment", "temperature", "count", "ok", "note")


def values(row: dict[str, Any]) -> tuple[Any, ...]:
    moment = datetime.datetime.fromtimestamp(row["at"] / 1e6, datetime.timezone.utc)
    told = {**row, "moment": moment.replace(tzinfo=None).isoformat(sep=" ")}
    return tuple(told[key] for key in ORDER)


def fill(backend: str, place: Any, rows: list[dict[str, Any]], create: bool = True) -> str:
    """Writes rows into a table of a file or a server; gives its URL."""
    if backend == "postgresql":
        granted = "GRANT ALL ON readings TO plant"
        statements = ["DROP TABLE IF EXISTS readings", TABLE, granted] if create else []
        place.sql("plant", *statements)
        import psycopg

        with psycopg.connect(place.url) as connection:
            connection.cursor().executemany(INSERT.replace("?", "%s"), [values(r) for r in rows])
        return place.url
    if backend == "sqlite":
        connection: Any = sqlite3.connect(place)
    else:
        import duckdb

        connection = duckdb.connect(str(place))
    if create:
        connection.execute(TABLE)
    connection.executemany(INSERT, [values(row) for row in rows])
    connection.commit()
    connection.close()
    return f"{backend}:///{place}"


@pytest.mark.parametrize("column", ["count", "note"])
@pytest.mark.parametrize("backend", ["sqlite", "duckdb", "postgresql"])
class TestConformance(SourceConformance):
    @pytest.fixture
    def subject(self, backend, column, make_source, tmp_path, monkeypatch, request):
        place = tmp_path / "plant.db"
        if backend == "postgresql":
            place = request.getfixturevalue("postgres")
        monkeypatch.setenv("PLANT_DB_URL", fill(backend, place, source_rows.readings()))
        monkeypatch.setenv("NOBODY", "postgresql://plant:hunter2@127.0.0.1:9/plant")
        how = {
            "query": "SELECT * FROM readings WHERE moment >= :begin AND moment < :end",
            "entity": "machine_id",
            "time": "moment",
            "types": {"ok": "bool"},
            "partitions": {"column": column, "count": 2},
            "watermark": "SELECT COUNT(*) FROM readings",
            "batch_rows": 3,
            "url_env": "PLANT_DB_URL",
        }
        rows = [{**row, "moment": row["at"]} for row in source_rows.asked()]
        return Subject(
            source=make_source(**how),
            times=source_rows.TIMES,
            rows=[{key: row[key] for key in ORDER} for row in rows],
            change=lambda: fill(backend, place, [source_rows.LATE], create=False),
            unreachable=make_source(**how | {"url_env": "NOBODY"}),
            broken=make_source(**how | {"types": {"note": "int"}}),
            secrets=("hunter2", *([place.password] if backend == "postgresql" else [])),
        )
