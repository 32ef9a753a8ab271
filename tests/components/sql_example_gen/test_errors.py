"""What goes wrong is told with what to do about it, and never with the password."""

import logging
import re
import traceback

import pytest

from components.ingest import sql
from components.ingest.errors import DataError
from components.ingest.sql import connect as sql_connect
from tests.ports import free_port

AT = "2025-04-17 00:00:00"
TABLE = "CREATE TABLE readings (id, at, value)"
TIMES = sql.Times(0, 86_400_000_000, 86_400_000_000)


def told_by(source) -> str:
    with pytest.raises(DataError) as told:
        sql.plan("readings", source, TIMES)
    return str(told.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT * FROM reading",
            "the query names a table that is not there (no such table: reading). Check the table's "
            "name and schema, and that the URL names the right database. "
            "Tables there: gateways, readings",
        ),
        (
            "SELECT id, att FROM readings",
            "the query names a column that is not there (no such column: att). Check the column's "
            "name in the query",
        ),
        (
            "SELEKT * FROM readings",
            'the database cannot parse the query (near "SELEKT": syntax error). Try the query in '
            "the database's own client",
        ),
        (
            "DELETE FROM readings",
            "the query writes (attempt to write a readonly database). A source's query only reads: "
            "use a SELECT",
        ),
    ],
)
def test_a_query_that_the_database_refuses(database, make_source, query, message):
    url = database(TABLE, "CREATE TABLE gateways (id)", rows=[(1, AT, 1)])
    assert told_by(make_source(url=url, query=query)) == f"readings: database {url}: {message}"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT id, at, at FROM readings",
            "readings: query, column 'at': two columns of the result have this name (the columns "
            "are id, at, at). Give each its own name with AS, such as m.at AS m_at",
        ),
        (
            "SELECT id AS machine, at FROM readings",
            "readings: column 'id': the source's entity names it, but the result's columns are "
            "machine, at. Select it in the query, or change the setting",
        ),
        (
            "SELECT id, at AS At FROM readings",
            "readings: column 'at': the source's time names it, but the result's columns are "
            "id, At. Did you mean 'At'? Select it in the query, or change the setting",
        ),
        (
            "SELECT * FROM readings WHERE at >= :since",
            "readings: query: it has a parameter :since; there are :begin, :end and :as_of. Write "
            "a colon that is no parameter as \\:since",
        ),
        (
            "SELECT * FROM readings WHERE at >= :begin::timestamp",
            "readings: query is ':begin::timestamp': a parameter cannot be followed by '::'. "
            "Write CAST(:begin AS timestamp)",
        ),
        (
            "SELECT * FROM readings WHERE at < :begin AND value = ':x'",
            "readings: query: it has a parameter :x; there are :begin, :end and :as_of. Write a "
            "colon that is no parameter as \\:x",
        ),
        (
            "SELECT * FROM readings WHERE at < :begin",
            "readings: query: it gives no rows from 1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z. "
            "Check --as-of against the times in the data, the lengths of split and windows, and "
            "the query's conditions",
        ),
    ],
)
def test_a_query_that_does_not_fit(database, make_source, query, message):
    url = database(TABLE, rows=[(1, AT, 1)])
    assert told_by(make_source(url=url, query=query)) == message


def test_no_rows_tell_the_watermark(database, make_source):
    source = make_source(
        url=database(TABLE, rows=[(1, AT, 1)]),
        query="SELECT * FROM readings WHERE at < :end",
        watermark="SELECT MAX(at) FROM readings",
    )
    assert "1970-01-02T00:00:00Z; its watermark is 2025-04-17 00:00:00. Check" in told_by(source)


def test_a_colon_can_be_meant(database, make_source):
    url = database(TABLE, rows=[(1, AT, 1)])
    source = make_source(url=url, query=r"SELECT *, '\:x 12:30' AS text FROM readings")
    assert sql.preview("readings", source, TIMES).table["text"].to_pylist() == [":x 12:30"]


def test_a_missing_file_is_no_new_database(make_source, tmp_path):
    path = tmp_path / "no.db"
    assert told_by(make_source(url=f"sqlite:///{path}")) == (
        f"readings: database sqlite:///{path}: there is no file {path}. Check the path (relative "
        "ones start at the working directory), or make the database first"
    )
    assert not path.exists()


def test_a_file_that_is_no_database(make_source, tmp_path):
    path = tmp_path / "text.db"
    path.write_text("machine,at\n" * 100)
    assert told_by(make_source(url=f"sqlite:///{path}")) == (
        f"readings: database sqlite:///{path}: the file is no such database (file is not a "
        "database). Check the path and the dialect in the URL"
    )


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(make_source, url):
    assert "a database in memory is empty when it is opened" in told_by(make_source(url=url))


def test_no_url(make_source, monkeypatch):
    monkeypatch.delenv("PLANT_DB_URL", raising=False)
    assert told_by(make_source(url_env="PLANT_DB_URL")) == (
        "readings: environment variable PLANT_DB_URL: it is not set, and the source has no url. "
        "Set it: export PLANT_DB_URL='postgresql://user:password@host/database'"
    )
    assert told_by(make_source()) == (
        "readings: url: the source names no database. Set url or url_env of the source in "
        "settings.yaml"
    )


@pytest.mark.parametrize("url", ["postgresql//u:hunter2@h/d", "postgresql://u:hunter2@h:port/d"])
def test_a_bad_url_is_not_quoted(make_source, monkeypatch, url):
    monkeypatch.setenv("PLANT_DB_URL", url)
    with pytest.raises(DataError) as told:
        sql.plan("readings", make_source(url_env="PLANT_DB_URL"), TIMES)
    assert str(told.value) == (
        "readings: environment variable PLANT_DB_URL: it does not hold a database URL. Write it as "
        "dialect://user:password@host:port/database or sqlite:///path"
    )
    assert told.value.__context__ is None


def test_a_driver_that_is_not_there(make_source):
    assert told_by(make_source(url="oracle://host/plant")).startswith(
        "readings: database oracle://host/plant: no driver for 'oracle' is installed. Install"
    )


def assert_secret_stays(error: BaseException, secret: str) -> None:
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        link = link.__cause__ or link.__context__
    for each in seen:
        assert secret not in str(each)
        assert secret not in repr(each.args)
        assert secret not in repr(vars(each))
    assert secret not in "".join(traceback.format_exception(error))


def test_refused_connections_are_tried_again(make_source, monkeypatch, caplog):
    monkeypatch.setattr(sql_connect, "_FIRST_WAIT_SECONDS", 0.01)
    port = free_port()
    for scheme in ("postgresql", "mysql"):
        caplog.clear()
        url = f"{scheme}://plant:hunter2@127.0.0.1:{port}/plant?application_name=x"
        monkeypatch.setenv("PLANT_DB_URL", url.replace("?application_name=x", ""))
        source = make_source(url_env="PLANT_DB_URL", connect_attempts=3)
        with caplog.at_level(logging.DEBUG), pytest.raises(DataError) as told:
            sql.plan("readings", source, TIMES)
        assert re.match(
            rf"readings: database {scheme}\+\w+://plant:\*\*\*@127.0.0.1:{port}/plant: no database "
            r"answers there \(3 attempts in \d+\.\d s; .*[Rr]efused.*\)\. Check that the server "
            r"runs, and host, port and firewall$",
            str(told.value),
        )
        assert_secret_stays(told.value, "hunter2")
        assert caplog.text.count("trying again") == 2
        assert "hunter2" not in caplog.text


def test_an_unknown_host_is_told(make_source, monkeypatch):
    monkeypatch.setattr(sql_connect, "_FIRST_WAIT_SECONDS", 0.01)
    source = make_source(url="postgresql://plant@no-such-host.invalid/plant")
    assert "the host's name is not known (1 attempt; " in told_by(source)


def test_query_secrets_are_masked():
    import sqlalchemy as sa

    from components.ingest.sql.errors import masked

    url = sa.engine.make_url("postgresql+psycopg://h/d?password=hunter2&sslmode=require")
    assert masked(url) == "postgresql+psycopg://h/d?password=%2A%2A%2A&sslmode=require"
