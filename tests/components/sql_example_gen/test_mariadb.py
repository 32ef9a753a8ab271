"""A real MariaDB: every type, parameters in the source's zone, streaming, parts, and its errors."""

import re

import pytest

from components.ingest import sql
from components.ingest.durations import parse_instant
from components.ingest.errors import DataError

pytestmark = pytest.mark.services

HOUR = 3_600_000_000
TIMES = sql.Times(0, parse_instant("2100-01-01"), parse_instant("2100-01-01"))

UUID = "00000000-0000-0000-0000-000000000001"
TYPES = [
    ("TINYINT", "-3", "int", -3),
    ("BOOLEAN", "TRUE", "int", 1),
    ("INT UNSIGNED", "4000000000", "int", 4_000_000_000),
    ("BIGINT UNSIGNED", "9223372036854775807", "int", 2**63 - 1),
    ("YEAR", "2025", "int", 2025),
    ("BIT(10)", "b'1000000001'", "int", 513),
    ("FLOAT", "1.5", "float", 1.5),
    ("DOUBLE", "1e300", "float", 1e300),
    ("DECIMAL(12,3)", "12345.678", "float", 12345.678),
    ("CHAR(5)", "'ab'", "text", "ab"),
    ("VARCHAR(20)", "'grün'", "text", "grün"),
    ("LONGTEXT", "'x'", "text", "x"),
    ("ENUM('calm', 'loud')", "'calm'", "text", "calm"),
    ("SET('a', 'b')", "'a,b'", "text", "a,b"),
    ("JSON", """'{"a":  1}'""", "text", '{"a":  1}'),
    ("UUID", f"'{UUID}'", "text", UUID),
    ("VARBINARY(5)", "x'ff00'", "bytes", b"\xff\x00"),
    ("BLOB", "x'ff'", "bytes", b"\xff"),
    ("DATE", "'2025-07-01'", "time", parse_instant("2025-06-30T22:00")),
    ("DATETIME(6)", "'2025-07-01 14:00:00.5'", "time", parse_instant("2025-07-01T12:00:00.500")),
    ("TIMESTAMP", "'2025-12-01 13:00:00'", "time", parse_instant("2025-12-01T12:00")),
    ("TIME(3)", "'-25:30:00.250'", "span", -(25 * HOUR + HOUR // 2 + 250_000)),
]


@pytest.fixture(scope="module")
def url(mariadb):
    mariadb.sql(
        "CREATE TABLE readings (id BIGINT, at DATETIME, stamp TIMESTAMP NULL, name VARCHAR(50),"
        " share DECIMAL(20,6))",
        "SET time_zone = '+02:00'",
        "INSERT INTO readings SELECT CAST(seq AS SIGNED) - 500, '2025-07-01' + INTERVAL seq MINUTE,"
        " '2025-07-01' + INTERVAL seq MINUTE, NULLIF(CONCAT('Name ', seq % 90), 'Name 7'),"
        " seq / 3 FROM seq_0_to_999",
        "CREATE TABLE typed (id INT, at DATETIME)",
        "INSERT INTO typed VALUES (1, '2025-07-01'), (2, '2025-07-01')",
    )
    return mariadb.url


@pytest.fixture
def source(url, make_source, monkeypatch):
    monkeypatch.setenv("PLANT_DB_URL", url)

    def make(**settings):
        return make_source(**{"url_env": "PLANT_DB_URL", **settings})

    return make


@pytest.fixture
def typed(mariadb, source):
    """A source whose ``value`` is of a type; NULL in its first row."""

    def make(column_type, literal, **settings):
        mariadb.sql(
            "ALTER TABLE typed DROP COLUMN IF EXISTS value",
            "SET time_zone = 'Europe/Berlin'",
            f"ALTER TABLE typed ADD COLUMN value {column_type} NULL",
            f"UPDATE typed SET value = {literal} WHERE id = 2",
        )
        return source(query="SELECT id, at, value FROM typed ORDER BY id", **settings)

    return make


@pytest.mark.parametrize(("column_type", "literal", "kind", "value"), TYPES)
def test_every_type_has_its_place(typed, read, column_type, literal, kind, value):
    settled = typed(column_type, literal, timezone="Europe/Berlin", batch_rows=1)
    assert read(settled)["value"] == [None, value]
    assert sql.plan("readings", settled, TIMES).columns[2].kind == kind


@pytest.mark.parametrize(
    ("column_type", "literal", "message"),
    [
        ("POINT", "POINT(1, 2)", "its type GEOMETRY cannot be mapped to a feature. Cast it in"),
        (
            "BIGINT UNSIGNED",
            "18446744073709551615",
            "row 2 (id 2, at '2025-07-01 00:00:00') is 18446744073709551615: this column is read "
            "as int; it does not fit into 64 bits with a sign. Cast it in the query",
        ),
    ],
)
def test_what_has_no_place_is_named(typed, read, column_type, literal, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read(typed(column_type, literal))


@pytest.mark.parametrize("column", ["at", "stamp"])
@pytest.mark.parametrize(
    ("zone", "begin"), [("Europe/Berlin", "2025-06-30T22:10"), ("UTC", "2025-07-01T00:10")]
)
def test_parameters_compare_in_the_sources_zone(source, read, column, zone, begin):
    if (column, zone) == ("stamp", "UTC"):
        begin = "2025-06-30T22:10"
    query = f"SELECT id, {column} AS at FROM readings WHERE {column} >= :begin AND {column} < :end"
    start = parse_instant(begin)
    times = sql.Times(start, start + 3 * 60_000_000, start)
    found = read(source(query=query, timezone=zone), times)
    assert found["id"] == [-490, -489, -488]
    assert found["at"] == [start + minute * 60_000_000 for minute in range(3)]


@pytest.mark.parametrize("column", ["id", "at", "stamp", "name", "share"])
def test_each_row_is_in_one_part(source, column):
    settled = source(partitions={"column": column, "count": 5})
    plan = sql.plan("readings", settled, TIMES)
    ids = [
        entity
        for partition in plan.partitions
        for batch in sql.read_partition("readings", settled, TIMES, plan.columns, partition)
        for entity in batch.column(0).to_pylist()
    ]
    assert sorted(ids) == list(range(-500, 500))
    assert len(plan.partitions) == 5


def test_rows_stay_on_the_server_until_asked_for(source, monkeypatch):
    import pymysql.cursors

    seen = []
    read_next = pymysql.cursors.SSCursor.read_next

    def counted(self):
        row = read_next(self)
        seen.append(row)
        return row

    monkeypatch.setattr(pymysql.cursors.SSCursor, "read_next", counted)
    batches = sql.read_source("readings", source(batch_rows=50), TIMES)
    assert next(batches).num_rows == 50
    assert next(batches).num_rows == 50
    assert len(seen) == 100
    batches.close()


def test_latest(source):
    assert sql.latest("readings", source()) == parse_instant("2025-07-01") + 999 * 60_000_000


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT * FROM reading",
            "names a table that is not there .*Tables there: readings, typed",
        ),
        ("SELECT idd FROM readings", "names a column that is not there .*idd.*Check the column"),
        ("SELEC 1", "cannot parse the query"),
        ("SELECT id, at, at FROM readings", "two columns of the result have one name"),
    ],
)
def test_a_query_that_is_refused(source, mariadb, query, message):
    with pytest.raises(DataError, match=message) as told:
        sql.plan("readings", source(query=query), TIMES)
    assert "database mysql+pymysql://plant:***@127.0.0.1:" in str(told.value)
    assert mariadb.password not in str(told.value)


def test_a_wrong_password_is_not_tried_again(source, mariadb, monkeypatch):
    monkeypatch.setenv("PLANT_DB_URL", mariadb.url.replace(mariadb.password, "hunter2"))
    with pytest.raises(DataError) as told:
        sql.plan("readings", source(connect_attempts=5), TIMES)
    assert "the database refuses the user or the password (1 attempt; " in str(told.value)
    assert "hunter2" not in str(told.value)


def test_an_unknown_database(source, mariadb, monkeypatch):
    monkeypatch.setenv("PLANT_DB_URL", mariadb.url + "s")
    with pytest.raises(DataError, match=r"no such database|may not read this"):
        sql.plan("readings", source(connect_attempts=5), TIMES)
