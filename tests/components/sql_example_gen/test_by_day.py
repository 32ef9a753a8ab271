"""SqlExampleGen over kept days, as TFX runs it: what is read again, and what a kill leaves."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from components.ingest.errors import DataError
from components.ingest.examples import read_table, split_files
from tests.components.sql_example_gen.test_component import QUERY, ROOT, execute
from tests.memory_bucket import registered

pytestmark = pytest.mark.tfx

STATE = "SELECT COUNT(*), SUM(value) FROM readings WHERE at >= :begin AND at < :end"


@pytest.fixture
def url(database):
    rows = [(i % 7, f"2025-04-{1 + i % 30:02d} 12:00:00", i / 2) for i in range(3000)]
    return database("CREATE TABLE readings (id INTEGER, at TEXT, value REAL)", rows=rows)


@pytest.fixture
def source(url, make_source, tmp_path):
    return make_source(
        url=url,
        query=QUERY,
        batch_rows=50,
        partitions={"column": "id", "count": 3},
        incremental={"watermark": STATE, "directory": str(tmp_path / "days")},
    )


def rows(source, examples) -> list:
    table = read_table(split_files(examples.uri, "all"))
    return sorted(zip(*(table[name].to_pylist() for name in ("at", "id", "value")), strict=True))


def change(url: str, statement: str) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(statement)
    connection.close()


def days(report: dict) -> tuple[int, int, int]:
    """How many days were read and reused, and the rows of those read."""
    told = report["spans"]
    assert told["of"] == "days"
    return told["read"], told["reused"], told["rows_read"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rerun_reads_what_changed_and_gives_what_a_whole_read_gives(
    url, source, tmp_path, workers
):
    _, first = execute(source, tmp_path / "first", workers, spine=0)
    assert days(first) == (13, 0, 1300)
    change(url, "INSERT INTO readings VALUES (3, '2025-04-09 01:02:03.5', 77.5)")
    change(url, "DELETE FROM readings WHERE at LIKE '2025-04-12%'")
    examples, second = execute(source, tmp_path / "second", workers, spine=0)
    assert days(second) == (2, 11, 101)
    assert second["summary"] == "1,201 rows, 2 of 13 days read (101 rows)"
    assert second["spans"]["newest_read"] == "2025-04-12"
    whole, report = execute(
        source.model_copy(update={"incremental": None}), tmp_path / "whole", spine=0
    )
    assert rows(source, examples) == rows(source, whole)
    told = ("source", "asked", "rows", "first", "last", "rows_outside", "columns")
    assert {key: second[key] for key in told} == {key: report[key] for key in told}
    assert examples.get_int_custom_property("span") == 20196  # 2025-04-18
    _, third = execute(source, tmp_path / "third", workers, spine=0, as_of="2025-04-21")
    assert days(third) == (1, 12, 100)


def test_labels_settle_before_an_observations_day_is_kept_for_good(source, tmp_path):
    """The last day ends when its labels begin to settle: it is read until these are."""
    execute(source, tmp_path / "first")
    _, report = execute(source, tmp_path / "again")
    assert days(report) == (0, 13, 0)
    execute(source, tmp_path / "noon", as_of="2025-04-20T12:00:00Z")
    _, report = execute(source, tmp_path / "noon again", as_of="2025-04-20T12:00:00Z")
    assert days(report) == (1, 13, 100)


def test_a_workers_error_arrives_as_it_was_and_a_rerun_heals(url, source, tmp_path):
    change(url, "UPDATE readings SET value = 'broken' WHERE at LIKE '2025-04-10%' AND id = 4")
    with pytest.raises(DataError, match=r"row \d+ .* is 'broken': this column is read as float"):
        execute(source, tmp_path, spine=0)
    change(url, "UPDATE readings SET value = 1 WHERE value = 'broken'")
    _, report = execute(source, tmp_path, spine=0)
    assert report["rows"] == 1300


def test_days_may_lie_in_a_bucket(url, source, tmp_path):
    elsewhere = source.incremental.model_copy(update={"directory": registered()})
    source = source.model_copy(update={"incremental": elsewhere})
    execute(source, tmp_path / "first", spine=0)
    change(url, "DELETE FROM readings WHERE at LIKE '2025-04-12%'")
    examples, report = execute(source, tmp_path / "again", spine=0, as_of="2025-04-21")
    assert days(report) == (2, 11, 100)
    assert len(rows(source, examples)) == report["rows"] == 1200


KILLED = """
import os, sys, pathlib, types
from tests.components.sql_example_gen import test_component as t
from components.ingest.sources import SqlSource
from components.ingest.spans import shelf

renamed = []

def die(source, target):
    renamed.append(target)
    if len(renamed) == 4:
        os.kill(os.getpid(), 9)
    os.replace(source, target)

shelf.paths = types.SimpleNamespace(**(vars(shelf.paths) | {"rename": die}))
t.execute(SqlSource.model_validate_json(sys.argv[1]), pathlib.Path(sys.argv[2]), spine=0)
"""


def test_a_killed_run_leaves_whole_days_that_the_next_takes(source, tmp_path):
    """Killed when the first day is kept, and the second has its file, but no entry."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, source.model_dump_json(), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9, done.stderr[-2000:]
    assert not list(Path(tmp_path / "examples" / "Split-all").iterdir())
    assert len(list((tmp_path / "days").rglob("2025-*.gz"))) == 2
    examples, report = execute(source, tmp_path, spine=0)
    assert days(report) == (12, 1, 1200)
    assert len(rows(source, examples)) == 1300
