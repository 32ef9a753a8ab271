"""Reading SQLite: what is asked for is read, types are settled soundly, nothing is guessed."""

import os
import re
import uuid

import pytest

from components.ingest import sql
from components.ingest.durations import parse_instant
from components.ingest.errors import DataError

TABLE = "CREATE TABLE readings (id, at, value)"
DAY = "2025-04-17 00:00:00"
DAY_US = parse_instant("2025-04-17")


def rows_of(*values) -> list[tuple]:
    return [(i + 1, DAY, value) for i, value in enumerate(values)]


def times(begin: str, end: str) -> sql.Times:
    return sql.Times(parse_instant(begin), parse_instant(end), parse_instant(end))


@pytest.mark.parametrize("form", ["%s", "%s.000000"])
def test_the_window_holds_its_begin_and_not_its_end(database, make_source, read, form):
    hours = [form % f"2025-04-17 {hour:02d}:00:00" for hour in range(5)]
    url = database(TABLE, rows=[(i, at, 1.5) for i, at in enumerate(hours)])
    source = make_source(
        url=url, query="SELECT * FROM readings WHERE at >= :begin AND at < :end; -- all"
    )
    found = read(source, times("2025-04-17T01:00", "2025-04-17T03:00"))
    assert found["id"] == [1, 2]
    assert found["at"] == [DAY_US + 3_600_000_000, DAY_US + 7_200_000_000]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 1_000_000)])
def test_integer_times_get_integer_parameters(database, make_source, read, unit, factor):
    seconds = [DAY_US // 1_000_000 + second for second in range(5)]
    url = database(TABLE, rows=[(i, s * factor, None) for i, s in enumerate(seconds)])
    source = make_source(
        url=url,
        time_unit=unit,
        query="SELECT * FROM readings WHERE at >= :begin AND at < :end AND at <= :as_of",
    )
    found = read(source, times("2025-04-17T00:00:00.500", "2025-04-17T00:00:03.500"))
    assert found["id"] == [1, 2, 3]
    assert found["at"] == [s * 1_000_000 for s in seconds[1:4]]
    assert sql.latest("readings", source) == seconds[-1] * 1_000_000


def test_naive_times_are_read_in_the_sources_zone(database, make_source, read):
    at = ["2025-07-01 12:00:00", "2025-12-01T12:00:00", "2025-07-01T12:00:00+00:00", "2025-07-01"]
    url = database(TABLE, rows=[(i, text, None) for i, text in enumerate(at)])
    source = make_source(url=url, timezone="Europe/Berlin")
    utc = ["2025-07-01T10:00", "2025-12-01T11:00", "2025-07-01T12:00", "2025-06-30T22:00"]
    assert read(source)["at"] == [parse_instant(text) for text in utc]
    one = source.model_copy(update={"query": "SELECT * FROM readings WHERE at = :begin"})
    assert read(one, times("2025-07-01T10:00", "2026-01-01"))["id"] == [0]


def test_nanoseconds_are_cut(database, make_source, read):
    url = database(TABLE, rows=[(1, "2025-04-17 00:00:00.123456789", 1)])
    assert read(make_source(url=url))["at"] == [DAY_US + 123456]


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, None, -(2**63)], "int", [1, None, -(2**63)]),
        ([1, 2.5, None], "float", [1.0, 2.5, None]),
        ([2.5, 2**60 + 1, None], "float", [2.5, float(2**60), None]),
        ([None, None, 1, 2.5], "float", [None, None, 1.0, 2.5]),
        ([None, None, None, "ü"], "text", [None, None, None, "ü"]),
        ([None, None, None, b"\xff"], "bytes", [None, None, None, b"\xff"]),
        ([None, None, None], "null", [None, None, None]),
        ([1, 2, 3, 4.0], "float", [1.0, 2.0, 3.0, 4.0]),
    ],
)
@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_the_kind_is_settled_by_all_values(
    database, make_source, read, values, kind, found, batch_rows
):
    source = make_source(url=database(TABLE, rows=rows_of(*values)), batch_rows=batch_rows)
    assert read(source)["value"] == found
    columns = sql.plan("readings", source, times("1970-01-01", "2100-01-01")).columns
    assert columns[2].kind == kind


@pytest.mark.parametrize(
    ("wanted", "values", "found"),
    [
        ("int", ["12", " 7", None], [12, 7, None]),
        ("int", [1.0, 2, None], [1, 2, None]),
        ("float", ["1.5", "2", None], [1.5, 2.0, None]),
        ("float", ["1.5", 2, None, 2.5], [1.5, 2.0, None, 2.5]),
        ("text", [1, "a", None], ["1", "a", None]),
        ("text", [1, 2, None], ["1", "2", None]),
        ("bool", [0, 1, None], [False, True, None]),
        ("bool", ["true", "false", None], [True, False, None]),
        ("bytes", ["a", None], [b"a", None]),
        ("time", ["2025-04-17", None], [DAY_US, None]),
    ],
)
def test_types_convert(database, make_source, read, wanted, values, found):
    source = make_source(url=database(TABLE, rows=rows_of(*values)), types={"value": wanted})
    assert read(source)["value"] == found


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (
            [1, 2, "n/a"],
            {"batch_rows": 2},
            "readings: column 'value', row 3 (id 3, at '2025-04-17 00:00:00') is 'n/a': "
            "this column is read as int; it is text. Cast it in the query (CAST(value AS ...)), or "
            "set types: {value: text} or another type in the source",
        ),
        (
            [1.5, 2, "n/a"],
            {},
            "column 'value', row 3 (id 3, at '2025-04-17 00:00:00') is 'n/a': "
            "this column is read as float; it is text",
        ),
        (
            ["a", b"\xff"],
            {"batch_rows": 1},
            "row 2 (id 2, at '2025-04-17 00:00:00') is b'\\xff': this column",
        ),
        ([1, 2**63 - 1, None, "9" * 30], {"types": {"value": "int"}}, f"is '{'9' * 30}': types:"),
        ([0, 2], {"types": {"value": "bool"}}, "row 2 (id 2, at '2025-04-17 00:00:00') is 2: "),
        ([1, 2.5], {"types": {"value": "int"}}, "is 2.5: types: says that this column is int"),
        (
            ["2025-04-17", "yesterday"],
            {"types": {"value": "time"}},
            "is 'yesterday': expected an ISO 8601 time such as '2025-04-17 06:00:00'",
        ),
        ([5], {"types": {"value": "time"}}, "is 5: a number is no time unless"),
    ],
)
def test_a_value_that_does_not_fit_is_named(database, make_source, read, values, settings, message):
    source = make_source(url=database(TABLE, rows=rows_of(*values)), **settings)
    with pytest.raises(DataError, match=re.escape(message)):
        read(source)


@pytest.mark.parametrize("bad_row", [1, 777, 999, 1000])
def test_the_one_bad_row_is_found(database, make_source, bad_row):
    at = [DAY] * 1000
    at[bad_row - 1] = "2025-13-01 00:00:00"
    url = database(TABLE, rows=[(i + 1, text, 1) for i, text in enumerate(at)])
    with pytest.raises(DataError, match=rf"row {bad_row} \(id {bad_row}\) is '2025-13-01"):
        list(sql.read_source("readings", make_source(url=url, batch_rows=300), sql.Times(0, 1, 1)))


@pytest.mark.parametrize(
    ("row", "column", "told_by"),
    [((None, DAY, 1), "id", f"at {DAY!r}"), ((1, None, 1), "at", "id 1")],
    ids=["entity", "time"],
)
def test_keys_are_never_null(database, make_source, read, row, column, told_by):
    url = database(TABLE, rows=[(1, DAY, 1), (2, DAY, 1), row])
    with pytest.raises(DataError) as told:
        read(make_source(url=url))
    assert str(told.value) == (
        f"readings: column '{column}', row 3 ({told_by}): it is NULL, but every row needs its "
        f"entity and its time. Add WHERE {column} IS NOT NULL to the query"
    )


def test_a_float_entity_is_refused(database, make_source, read):
    url = database(TABLE, rows=[(1.0, DAY, 1), (2.5, DAY, 1)])
    with pytest.raises(DataError, match="the entity is of kind float, but must be int, text"):
        read(make_source(url=url))
    cast = make_source(url=url, types={"id": "text"})
    assert read(cast)["id"] == ["1", "2.5"]


def test_relative_files_are_found_from_the_working_directory(
    database, make_source, read, tmp_path, monkeypatch
):
    database(TABLE, rows=rows_of(1))
    monkeypatch.chdir(tmp_path)
    assert read(make_source(url="sqlite:///plant.db"))["id"] == [1]


def test_a_file_name_may_hold_special_characters(database, make_source, read, tmp_path):
    database(TABLE, rows=rows_of(1))
    odd = tmp_path / "50% plant #1.db"
    (tmp_path / "plant.db").rename(odd)
    assert read(make_source(url=f"sqlite:///{odd}"))["id"] == [1]


def test_the_environment_goes_before_the_url(database, make_source, read, monkeypatch):
    url = database(TABLE, rows=rows_of(1))
    source = make_source(url=url, url_env="PLANT_DB_URL")
    assert read(source)["id"] == [1]
    monkeypatch.setenv("PLANT_DB_URL", "sqlite:///nowhere.db")
    with pytest.raises(DataError, match="no file"):
        read(source)


def test_preview_reads_few_rows(database, make_source):
    url = database(TABLE, rows=rows_of(*range(100)))
    columns, types, table = sql.preview("readings", make_source(url=url), sql.Times(0, 1, 1), 5)
    assert columns == ["id", "at", "value"]
    assert types == {"id": "int", "at": "time", "value": "int"}
    assert table.num_rows == 5
    assert table.column("value").to_pylist() == [0, 1, 2, 3, 4]


def test_read_source_gives_nothing_for_no_rows(database, make_source):
    source = make_source(url=database(TABLE))
    assert list(sql.read_source("readings", source, sql.Times(0, 1, 1))) == []


def test_the_files_watermark_changes_with_the_file(database, make_source, tmp_path):
    source = make_source(url=database(TABLE, rows=rows_of(1)))
    before = sql.watermark("readings", source)
    assert sql.watermark("readings", source) == before
    state = (tmp_path / "plant.db").stat()
    os.utime(tmp_path / "plant.db", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    touched = sql.watermark("readings", source)
    assert touched != before
    (tmp_path / "plant.db-wal").write_bytes(b"x")
    assert sql.watermark("readings", source) != touched


def test_the_watermark_query_is_the_watermark(database, make_source):
    url = database(TABLE, rows=[(1, "2025-04-17 00:00:00", 5), (2, "2025-04-18 00:00:00", 7)])
    by_number = make_source(url=url, watermark="SELECT MAX(value) FROM readings WHERE at < :as_of")
    assert sql.watermark("readings", by_number, parse_instant("2025-04-18")) == "query:5"
    assert sql.watermark("readings", by_number) == "query:7"
    assert sql.latest("readings", by_number) == parse_instant("2025-04-18")
    by_time = make_source(url=url, watermark="SELECT MIN(at) FROM readings")
    assert sql.latest("readings", by_time) == parse_instant("2025-04-17")
    nothing = make_source(url=url, watermark="SELECT NULL")
    with pytest.raises(DataError, match="watermark is 'SELECT NULL': its query gives no value"):
        sql.watermark("readings", nothing)


def test_servers_without_a_watermark_are_never_cached(make_source, monkeypatch):
    source = make_source(url="postgresql://nobody@nowhere/plant")
    marks = {sql.watermark("readings", source) for _ in range(3)}
    assert len(marks) == 3


def test_uuids_need_no_cast():
    from components.ingest.plan import Column
    from components.ingest.sources import SqlSource
    from components.ingest.sql.columns import kind_of_values, to_batch

    values = [uuid.UUID(int=1), None]
    assert kind_of_values(values) == "text"
    source = SqlSource(kind="sql", query="q", entity="id", time="at")
    batch = to_batch("readings", source, [Column("id", "text")], [(v,) for v in values], 1)
    assert batch.column(0).to_pylist() == [str(values[0]), None]
