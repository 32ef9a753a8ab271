"""A real PostgreSQL: every type, zoned parameters, server-side cursors, parts, and its errors."""

import re
import threading

import pytest

from components.ingest import sql
from components.ingest.durations import parse_instant
from components.ingest.errors import DataError

HOUR = 3_600_000_000
NOON = parse_instant("2025-07-01T12:00")
TIMES = sql.Times(0, parse_instant("2100-01-01"), parse_instant("2100-01-01"))

TYPES = [
    ("smallint", "-3", "int", -3),
    ("integer", "7", "int", 7),
    ("bigint", "9223372036854775807", "int", 2**63 - 1),
    ("oid", "4000000000", "int", 4_000_000_000),
    ("real", "1.5", "float", 1.5),
    ("double precision", "'NaN'", "float", float("nan")),
    ("numeric(12,3)", "12345.678", "float", 12345.678),
    ("numeric", "'123456789012345678901234567890.5'", "float", 1.2345678901234568e29),
    ("boolean", "true", "bool", True),
    ("text", "'grün'", "text", "grün"),
    ("varchar(5)", "'ab'", "text", "ab"),
    ("char(3)", "'ab'", "text", "ab "),
    ("mood", "'calm'", "text", "calm"),
    ("label", "'tag'", "text", "tag"),
    (
        "uuid",
        "'00000000-0000-0000-0000-000000000001'",
        "text",
        "00000000-0000-0000-0000-000000000001",
    ),
    ("json", """'{"a":  1}'""", "text", '{"a":  1}'),
    ("jsonb", """'{"a":  [1, null]}'""", "text", '{"a": [1, null]}'),
    ("inet", "'10.0.0.1'", "text", "10.0.0.1"),
    ("bytea", r"'\xff00'", "bytes", b"\xff\x00"),
    ("date", "'2025-07-01'", "time", parse_instant("2025-06-30T22:00")),
    ("timestamp", "'2025-07-01 14:00:00.5'", "time", NOON + 500_000),
    ("timestamptz", "'2025-07-01 12:00:00.000001+00'", "time", NOON + 1),
    ("timestamptz", "'2025-12-01 12:00:00+05:30'", "time", parse_instant("2025-12-01T06:30")),
    ("time", "'01:30:00.25'", "clock", HOUR * 3 // 2 + 250_000),
    ("interval", "'1 day 02:00:00.5'", "span", 26 * HOUR + 500_000),
    ("integer[]", "'{1,2}'", "list<int>", [1, 2]),
    ("real[]", "'{}'", "list<float>", []),
    ("text[]", "'{a,\"b c\"}'", "list<text>", ["a", "b c"]),
    ("boolean[]", "'{t,f}'", "list<bool>", [True, False]),
    ("numeric[]", "'{1.5}'", "list<float>", [1.5]),
    ("bytea[]", r"'{\\xff}'", "list<bytes>", [b"\xff"]),
    ("timestamptz[]", "'{2025-07-01 12:00:00+00}'", "list<time>", [NOON]),
    (
        "uuid[]",
        "'{00000000-0000-0000-0000-000000000001}'",
        "list<text>",
        ["00000000-0000-0000-0000-000000000001"],
    ),
    ("interval[]", "'{1 hour}'", "list<span>", [HOUR]),
]
WITHOUT_PLACE = [
    ("point", "'(1,2)'", "point"),
    ("int4range", "'[1,5)'", "int4range"),
    ("pair", "'(1,2)'", "pair"),
    ("timetz", "'12:00:00+02'", "time with time zone"),
    ("money", "12.5", "money"),
    ("bit(3)", "B'101'", "bit"),
    ("tsvector", "'a b'", "tsvector"),
    ("mood[]", "'{calm}'", "mood[]"),
]


@pytest.fixture(scope="module")
def url(postgres):
    postgres.sql(
        "plant",
        "CREATE TYPE mood AS ENUM ('calm', 'loud')",
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE FUNCTION hidden() RETURNS int AS 'SELECT 1' LANGUAGE sql",
        "REVOKE ALL ON FUNCTION hidden FROM public",
        "CREATE DOMAIN label AS text CHECK (value <> '')",
        "CREATE TABLE rows_of_day (id bigint, at timestamp, zoned timestamptz, day date, key uuid,"
        " share numeric, big text)",
        "INSERT INTO rows_of_day SELECT i - 500, '2025-07-01'::timestamp + i * interval '1 minute',"
        " '2025-07-01 00:00+02'::timestamptz + i * interval '1 minute',"
        " '2025-07-01'::date + i % 7, nullif(md5(i::text), md5('7'))::uuid, i / 3.0,"
        " repeat('x', 1000) FROM generate_series(0, 999) AS i",
    )
    return postgres.url


@pytest.fixture
def source(url, make_source, monkeypatch):
    monkeypatch.setenv("PLANT_DB_URL", url)

    def make(**settings):
        return make_source(**{"url_env": "PLANT_DB_URL", **settings})

    return make


@pytest.mark.parametrize(("column_type", "literal", "kind", "value"), TYPES)
@pytest.mark.parametrize("batch_rows", [1, 100])
def test_every_type_has_its_place(source, read, column_type, literal, kind, value, batch_rows):
    query = (
        "SELECT * FROM (VALUES (1, timestamp '2025-07-01', NULL), "
        f"(2, timestamp '2025-07-01', CAST({literal} AS {column_type}))) AS v (id, at, value)"
    )
    settled = source(query=query, timezone="Europe/Berlin", batch_rows=batch_rows)
    found = read(settled)
    assert found["value"] == [None, pytest.approx(value, nan_ok=True) if kind == "float" else value]
    assert sql.plan("readings", settled, TIMES).columns[2].kind == kind


@pytest.mark.parametrize(("column_type", "literal", "name"), WITHOUT_PLACE)
def test_a_type_without_a_place_is_named(source, column_type, literal, name):
    query = (
        "SELECT * FROM (VALUES (1, timestamp '2025-07-01', NULL), "
        f"(2, timestamp '2025-07-01', CAST({literal} AS {column_type}))) AS v (id, at, value)"
    )
    with pytest.raises(DataError) as told:
        sql.plan("readings", source(query=query), TIMES)
    assert str(told.value).startswith("readings: column 'value', row 2 is ")
    assert f": its type {name} cannot be mapped to a feature. Cast it in the query" in str(
        told.value
    )


def test_types_may_ask_for_the_text_of_any_type(source, read):
    query = "SELECT 1 AS id, timestamp '2025-07-01' AS at, point '(1,2)' AS place"
    assert read(source(query=query, types={"place": "text"}))["place"] == ["(1,2)"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("array[[1,2],[3,4]]", "an array must not hold arrays"),
        ("array[1,NULL]", "an array must not hold NULL"),
        ("timestamp 'infinity'", "is 'infinity': expected an ISO 8601 time"),
    ],
)
def test_a_value_without_a_place_is_named(source, value, message):
    query = f"SELECT 7 AS id, timestamp '2025-07-01' AS at, {value} AS value"
    with pytest.raises(
        DataError, match=rf"column 'value', row 1 \(id 7, at .*{re.escape(message)}"
    ):
        sql.plan("readings", source(query=query), TIMES)


@pytest.mark.parametrize("column", ["at", "zoned"])
def test_parameters_compare_with_naive_and_zoned_times(source, read, column):
    query = (
        f"SELECT id, {column} AS at FROM rows_of_day WHERE {column} >= :begin AND {column} < :end"
    )
    begin = parse_instant("2025-06-30T22:10")
    found = read(
        source(query=query, timezone="Europe/Berlin"),
        sql.Times(begin, begin + 5 * 60_000_000, begin),
    )
    assert found["at"] == [begin + minute * 60_000_000 for minute in range(5)]
    assert found["id"] == [-490, -489, -488, -487, -486]


def test_parameters_may_be_cast_and_percents_stand(source, read):
    query = (
        "SELECT id, at, 'a%%b' LIKE 'a%' AS like FROM rows_of_day "
        "WHERE day = CAST(:begin AS date) AND id % 2 = 0 -- 100 %"
    )
    midnight = parse_instant("2025-07-02")
    found = read(source(query=query), sql.Times(midnight, midnight, midnight))
    assert len(found["id"]) == 71 and set(found["like"]) == {True}


@pytest.mark.parametrize("column", ["id", "at", "zoned", "day", "key", "share", "big"])
def test_each_row_is_in_one_part(source, column):
    settled = source(
        query="SELECT * FROM rows_of_day",
        partitions={"column": column, "count": 5},
        timezone="Europe/Berlin",
    )
    plan = sql.plan("readings", settled, TIMES)
    ids = [
        entity
        for partition in plan.partitions
        for batch in sql.read_partition("readings", settled, TIMES, plan.columns, partition)
        for entity in batch.column(0).to_pylist()
    ]
    assert sorted(ids) == list(range(-500, 500))
    assert len(plan.partitions) == (1 if column == "big" else 5)


def test_rows_stay_on_the_server_until_asked_for(source, monkeypatch):
    import psycopg

    fetched = []
    fetch = psycopg.ServerCursor.fetchmany

    def counted(self, size=0):
        rows = fetch(self, size)
        fetched.append(len(rows))
        return rows

    monkeypatch.setattr(psycopg.ServerCursor, "fetchmany", counted)
    # A thousand million rows: a cursor of the client's would never come back.
    query = "SELECT a.id, a.at FROM rows_of_day a, rows_of_day b, rows_of_day c"
    batches = sql.read_source("readings", source(query=query, batch_rows=50), TIMES)
    read = [next(batches).num_rows for _ in range(3)]
    batches.close()
    assert read == [50, 50, 50]
    assert fetched == [50, 50, 50]


def test_latest_and_empty(source):
    assert sql.latest("readings", source(query="SELECT id, zoned AS at FROM rows_of_day")) == (
        parse_instant("2025-06-30T22:00") + 999 * 60_000_000
    )
    nothing = source(query="SELECT id, at FROM rows_of_day WHERE false")
    with pytest.raises(DataError, match="it gives no rows at any time"):
        sql.latest("readings", nothing)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT * FROM row_of_day",
            'relation "row_of_day" does not exist.*Tables there: .*rows_of_d',
        ),
        ("SELECT idd FROM rows_of_day", "names a column that is not there.*idd.*Check the column"),
        ("SELEC 1", 'cannot parse the query .syntax error at or near "SELEC".'),
        ("DELETE FROM rows_of_day RETURNING id, at", "cannot parse the query"),
        ("SELECT 1/0 AS id, now() AS at", "refuses the query .division by zero"),
        (
            "SELECT hidden() AS id, now() AS at",
            "may not read this .permission denied for function hidden",
        ),
    ],
)
def test_a_query_that_is_refused(source, postgres, query, message):
    with pytest.raises(DataError, match=message) as told:
        sql.plan("readings", source(query=query), TIMES)
    assert f"postgresql+psycopg://plant:***@127.0.0.1:{postgres.port}/plant: " in str(told.value)
    assert postgres.password not in str(told.value)


def test_a_wrong_password_is_not_tried_again(source, postgres, monkeypatch, caplog):
    monkeypatch.setenv("PLANT_DB_URL", postgres.url.replace(postgres.password, "hunter2"))
    with pytest.raises(DataError) as told:
        sql.plan("readings", source(connect_attempts=5), TIMES)
    assert "the database refuses the user or the password (1 attempt; " in str(told.value)
    assert "hunter2" not in str(told.value) + caplog.text


def test_an_unknown_database(source, postgres, monkeypatch):
    monkeypatch.setenv("PLANT_DB_URL", postgres.url + "s")
    with pytest.raises(DataError, match=r"the server has no such database \(1 attempt; "):
        sql.plan("readings", source(connect_attempts=5), TIMES)


def test_a_broken_connection_is_told(source, postgres):
    query = "SELECT id, at FROM rows_of_day ORDER BY id"
    batches = sql.read_source("readings", source(query=query, batch_rows=10), TIMES)
    next(batches)
    postgres.end_sessions()
    with pytest.raises(DataError, match="the connection broke while rows were read"):
        list(batches)


def test_a_restarting_server_is_waited_for(source, postgres, read):
    settled = source(query="SELECT id, at FROM rows_of_day", connect_attempts=8)
    postgres.stop()
    starter = threading.Timer(1.5, postgres.start)
    starter.start()
    try:
        assert len(read(settled)["id"]) == 1000
    finally:
        starter.join()
