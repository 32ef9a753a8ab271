"""SqlExampleGen over kept days, as TFX runs it: what is read again, and what a kill leaves."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from components.ingest.errors import DataError
from components.ingest.examples import read_table, split_files
from tests.components.sql_example_gen.test_component import QUERY, ROOT, execute

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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rerun_reads_what_changed_and_gives_what_a_whole_read_gives(
    url, source, tmp_path, workers
):
    _, first = execute(source, tmp_path / "first", workers, spine=0)
    assert first["spans"] == {
        "read": 13,
        "reused": 0,
        "rows_read": 1300,
        "newest_read": "2025-04-18",
    }
    change(url, "INSERT INTO readings VALUES (3, '2025-04-09 01:02:03.5', 77.5)")
    change(url, "DELETE FROM readings WHERE at LIKE '2025-04-12%'")
    examples, second = execute(source, tmp_path / "second", workers, spine=0)
    assert second["spans"] | {"newest_read": None} == {
        "of": "days", "read": 2, "reused": 11, "rows_read": 101, "newest_read": None
    }  # fmt: skip
    assert second["summary"] == "1,201 rows, 2 of 13 days read (101 rows)"
    assert second["rows"] == 1201
    whole, report = execute(
        source.model_copy(update={"incremental": None}), tmp_path / "whole", spine=0
    )
    assert rows(source, examples) == rows(source, whole)
    told = ("source", "asked", "rows", "first", "last", "rows_outside", "columns")
    assert {key: second[key] for key in told} == {key: report[key] for key in told}
    assert examples.get_int_custom_property("span") == 20196  # 2025-04-18
    _, third = execute(source, tmp_path / "third", workers, spine=0, as_of="2025-04-21")
    assert third["spans"] == {
        "of": "days",
        "read": 1,
        "reused": 12,
        "rows_read": 100,
        "newest_read": "2025-04-19",
    }


def test_labels_settle_before_an_observations_day_is_kept_for_good(source, tmp_path):
    """The last day ends when its labels begin to settle: it is read until these are."""
    execute(source, tmp_path / "first")
    _, report = execute(source, tmp_path / "again")
    assert report["spans"] == {
        "of": "days",
        "read": 0,
        "reused": 13,
        "rows_read": 0,
        "newest_read": None,
    }
    execute(source, tmp_path / "noon", as_of="2025-04-20T12:00:00Z")
    _, report = execute(source, tmp_path / "noon again", as_of="2025-04-20T12:00:00Z")
    assert report["spans"]["read"] == 1


def test_a_workers_error_arrives_as_it_was_and_a_rerun_heals(url, source, tmp_path):
    change(url, "UPDATE readings SET value = 'broken' WHERE at LIKE '2025-04-10%' AND id = 4")
    with pytest.raises(DataError, match=r"row \d+ .* is 'broken': this column is read as float"):
        execute(source, tmp_path, spine=0)
    change(url, "UPDATE readings SET value = 1 WHERE value = 'broken'")
    _, report = execute(source, tmp_path, spine=0)
    assert report["rows"] == 1300


KILLED = """
import os, sys, pathlib
from tests.components.sql_example_gen import test_component as t
from components.ingest import paths
from components.ingest.sources import SqlSource

rename, left = paths.rename, [int(sys.argv[3])]

def die(source, target):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
    rename(source, target)

paths.rename = die
t.execute(SqlSource.model_validate_json(sys.argv[1]), pathlib.Path(sys.argv[2]), spine=0)
"""


@pytest.mark.parametrize("renames", [4, 5])
def test_a_killed_run_leaves_whole_days_that_the_next_takes(source, tmp_path, renames):
    """Killed between a day's file and its entry, and between two days."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, source.model_dump_json(), str(tmp_path), str(renames)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9, done.stderr[-2000:]
    assert not list(Path(tmp_path / "examples" / "Split-all").iterdir())
    examples, report = execute(source, tmp_path, spine=0)
    assert report["spans"]["reused"] == (renames - 1) // 2
    assert report["rows"] == len(rows(source, examples)) == 1300
