"""SQLite read by a process of its own: what it gives is what Python would have read."""

import contextlib
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import adbc_driver_manager as adbc
import psutil
import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from components.ingest import sql
from components.ingest.errors import DataError
from components.ingest.patience import read_part
from components.ingest.sources import SqlSource
from components.ingest.sql import sqlite, sqlite_reader
from tests.components.sql_example_gen.conftest import ALL_TIME

TABLE = "CREATE TABLE readings (id, at, value)"
DAY = "2025-04-17 00:00:00"
LONG = "x" * 100_000
"""A text of which few fill a pipe: the process that reads them then waits in mid-read."""

ASKER = """
import sys
import psutil
from components.ingest.sql import sqlite

path = sys.argv[1].removeprefix("sqlite:///")
text = "SELECT value FROM readings"
batches = sqlite.batches(f"file:{path}", text, (), ("text",), 2)
next(batches)
print(psutil.Process().children()[0].pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def large(database, make_source, monkeypatch):
    """Makes a source of readings with values, of which three suffice for a process of its own."""
    monkeypatch.setattr(sqlite, "MANY_ROWS", 3)

    def make(*values, **settings) -> SqlSource:
        rows = [(number, DAY, value) for number, value in enumerate(values, 1)]
        return make_source(**{"url": database(TABLE, rows=rows), "batch_rows": 2, **settings})

    return make


def read(source, by_process=True, times=ALL_TIME, plan=None) -> tuple[pa.Table | str, int]:
    """The rows or the error's words, and how many tries it took."""
    plan = plan or sql.plan("readings", source, times)
    assert plan.partitions[0].storage is not None
    found, tries = [], 1
    for part in plan.partitions:
        part = part if by_process else dataclasses.replace(part, storage=None)
        batches: list[pa.RecordBatch] = []
        try:
            for attempt, batch in read_part("readings", source, times, plan.columns, part):
                tries, batches = max(tries, attempt), batches if batch.num_rows else []
                batches.append(batch)
        except DataError as error:
            return str(error), tries
        found += batches
    return pa.Table.from_batches(found), tries


VALUES = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False),
    "text": st.text(st.characters(exclude_categories=["Cs"])),
    "blob": st.binary(),
}


def in_this_process(uri, query, parameters, storage, rows):
    """As ``sqlite.batches``, without a process to start."""
    asked = sqlite.watched(query, storage), parameters, storage, rows
    try:
        for batch in sqlite_reader.batches(uri, *asked):
            yield batch.columns
    except (ValueError, OSError, adbc.Error) as error:
        raise sqlite.ReaderError(str(error)) from error


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_both_ways_give_the_same(data):
    """Any values, NULLs and mixtures: the same columns, or the same error."""
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    mixed = data.draw(st.booleans())
    other = st.one_of(*VALUES.values()) if mixed else st.none()
    columns = st.tuples(*(VALUES[kind] | st.none() | other for kind in kinds))
    # The first rows tell the types; others may come.
    first = st.tuples(*(VALUES[kind] for kind in kinds))
    rows = data.draw(st.lists(first, min_size=3, max_size=3))
    rows += data.draw(st.lists(columns, min_size=5, max_size=20))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "plant.db")
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            names = ", ".join(f"c{place}" for place in range(len(kinds)))
            connection.execute(f"CREATE TABLE readings (id, at, {names})")
            marks = ", ".join("?" * (2 + len(kinds)))
            whole = [(number, DAY, *row) for number, row in enumerate(rows)]
            connection.executemany(f"INSERT INTO readings VALUES ({marks})", whole)
        source = SqlSource(
            kind="sql",
            url=f"sqlite:///{path}",
            query="SELECT * FROM readings WHERE at >= :begin",
            entity="id",
            time="at",
            batch_rows=3,
        )
        patch.setattr(sqlite, "MANY_ROWS", 1)
        patch.setattr(sqlite, "batches", in_this_process)
        try:
            plan = sql.plan("readings", source, ALL_TIME)
        except DataError:
            return
        if plan.partitions[0].storage is None:
            return
        found, tries = read(source, plan=plan)
        wanted, _ = read(source, by_process=False, plan=plan)
    assert found == wanted
    event(f"tries: {tries}, {'error' if isinstance(found, str) else 'rows'}")
    assert mixed or tries == 1


def test_a_process_of_its_own_reads(large):
    source = large(*range(10), partitions={"column": "id", "count": 2})
    by_process, tries = read(source)
    assert tries == 1
    assert by_process == read(source, by_process=False)[0]
    assert by_process.to_pydict()["id"] == [2, 4, 6, 8, 10, 1, 3, 5, 7, 9]


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (["a", "b", "c", "d", b"\xff"], {}),
        (["a", "b", "c", "d", 5], {"types": {"value": "text"}}),
        ([1.5, 2, 3, 4, "5"], {}),
        (["1", "2", "3", "4", 5], {"types": {"value": "int"}}),
    ],
)
def test_mixed_columns_are_read_by_python(large, caplog, values, settings):
    source = large(*values, **settings)
    found, tries = read(source)
    assert tries == 2
    assert found == read(source, by_process=False)[0]
    assert "Python reads the part from its beginning" in caplog.text


def test_text_that_is_no_text_is_an_error(large, tmp_path):
    source = large("a", "b", "c", "d", "e")
    with contextlib.closing(sqlite3.connect(tmp_path / "plant.db")) as connection, connection:
        connection.execute("UPDATE readings SET value = CAST(x'ff' AS TEXT) WHERE id = 5")
    found, tries = read(source)
    assert tries == 2
    assert "Could not decode to UTF-8" in found


@pytest.mark.parametrize(
    ("query", "by_process"),
    [
        ("SELECT id, at, value FROM readings ORDER BY value DESC -- newest", True),
        ("SELECT id, at, CASE WHEN value > 2 THEN 1 END AS v FROM readings WHERE at < :end;", True),
        ("WITH r AS (SELECT * FROM readings) SELECT a.*, b.value AS c FROM r a, r b", True),
        ("SELECT id, at, value * 2 AS v FROM readings", False),
        ("SELECT id, at, value || 'x' AS v FROM readings", False),
        ("SELECT id, at, CAST(value AS TEXT) AS v FROM readings", False),
        ("SELECT id, at, round(value) AS v FROM readings", False),
        ("SELECT id, at, avg(value) AS v FROM readings GROUP BY id", False),
    ],
)
def test_what_is_computed_is_read_by_python(large, query, by_process):
    """The two SQLites are of different versions, whose last digits may differ."""
    source = large(1.5, 2.5, 3.5, 4.5, 5.5, 6.5, query=query)
    plan = sql.plan("readings", source, ALL_TIME)
    assert (plan.partitions[0].storage is not None) == by_process
    if by_process:
        assert read(source)[0] == read(source, by_process=False)[0]


def test_few_rows_are_read_by_python(large, monkeypatch):
    monkeypatch.setattr(sqlite, "MANY_ROWS", 100)
    source = large(*range(100))
    assert sql.plan("readings", source, ALL_TIME).partitions[0].storage is None


def reader_here() -> psutil.Process:
    children = psutil.Process().children()
    (reader,) = (child for child in children if "sqlite_reader" in " ".join(child.cmdline()))
    return reader


def begun(source):
    """A read that has given its first batch, and the process that reads."""
    plan = sql.plan("readings", source, ALL_TIME)
    batches = read_part("readings", source, ALL_TIME, plan.columns, plan.partitions[0])
    assert next(batches)[1].num_rows == 0
    assert next(batches)[1].num_rows == 1
    process = reader_here()
    return batches, process


def test_a_reader_that_is_killed_loses_no_row(large, caplog):
    batches, process = begun(large(*[LONG] * 50))
    process.send_signal(signal.SIGKILL)
    rest = list(batches)
    assert rest[-1][0] == 2
    assert sum(batch.num_rows for attempt, batch in rest if attempt == 2) == 50
    assert "exit code -9" in caplog.text


def test_a_reader_may_die_before_it_is_asked(large):
    source = large(*[LONG] * 50)
    plan = sql.plan("readings", source, ALL_TIME)
    process = reader_here()
    process.send_signal(signal.SIGKILL)
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    found, tries = read(source, plan=plan)
    assert tries == 2
    assert found.num_rows == 50


def test_a_reader_ends_with_its_caller(large):
    batches, process = begun(large(*[LONG] * 50))
    batches.close()
    process.wait(60)


def test_a_reader_keeps_writers_out(large, tmp_path):
    """It reads one state of the file: Python's SQLite in this process does not undo its lock."""
    source = large(*[LONG] * 50)
    batches, _ = begun(source)
    assert sql.watermark("readings", source.model_copy(update={"watermark": "SELECT 1"}))
    writer = sqlite3.connect(tmp_path / "plant.db", timeout=0)
    with contextlib.closing(writer), pytest.raises(sqlite3.OperationalError, match="locked"):
        writer.execute("DELETE FROM readings")
        writer.commit()
    assert sum(batch.num_rows for _, batch in batches) == 49


def test_a_reader_does_not_outlive_its_asker(large):
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER, large(*[LONG] * 50).url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with asker:
        assert asker.stdout is not None
        reader = psutil.Process(int(asker.stdout.readline()))
        os.kill(asker.pid, signal.SIGKILL)
        psutil.wait_procs([reader], 30)
        # A container may lack the process that takes leave of orphans.
        assert not reader.is_running() or reader.status() == psutil.STATUS_ZOMBIE
