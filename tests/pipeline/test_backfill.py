"""``backfill``: the days of a range, a stop in the middle, and what it says."""

import sqlite3

import pytest
from click.testing import CliRunner

from components.ingest.examples import read_table
from components.ingest.spans import reading
from components.ingest.spans.store import DayStore
from pipeline.backfill import command
from pipeline.settings import load_settings

SETTINGS = """
project: {{name: plant}}
as_of: 2025-05-01
sources:
  observations:
    kind: sql
    url: sqlite:///{folder}/plant.db
    query: SELECT id, at, fails FROM observations WHERE at >= :begin AND at < :end
    entity: id
    time: at
    types: {{fails: int}}
    incremental: {{late: 3d, directory: {folder}/days}}
  errors:
    kind: sql
    query: SELECT id, at, 1 AS one FROM observations WHERE at >= :begin AND at < :end
    entity: id
    time: at
    windows: [{{size: 24h, aggregate: {{one: [count]}}}}]
label: {{name: fails, horizon: 24h}}
split: {{by: time, train: 10d, eval: 2d}}
"""


@pytest.fixture
def plant(tmp_path):
    (tmp_path / "settings.yaml").write_text(SETTINGS.format(folder=tmp_path))
    with sqlite3.connect(tmp_path / "plant.db") as connection:
        connection.execute("CREATE TABLE observations (id INTEGER, at TEXT, fails INTEGER)")
        rows = [(i, f"2025-04-{1 + i % 30:02d} 06:00:00", i % 2) for i in range(300)]
        connection.executemany("INSERT INTO observations VALUES (?, ?, ?)", rows)
    connection.close()
    return tmp_path


def backfill(plant, *arguments: str):
    options = list(arguments or ("--begin", "2025-04-01", "--end", "2025-04-30"))
    done = CliRunner().invoke(command, options, obj=str(plant / "settings.yaml"))
    return done.exit_code, " ".join(done.output.split())


def held(plant) -> dict[int, list]:
    """By day its rows."""
    store = DayStore("observations", load_settings(plant / "settings.yaml").spine_source)
    days = store.load(range(30_000))
    return {n: read_table([store.path(day)]).to_pylist() for n, day in days.items() if day.rows}


def test_days_are_read_once(plant):
    code, told = backfill(plant)
    assert code == 0
    assert told.startswith("observations 30 days read (300 rows), 0 unchanged")
    first = held(plant)
    assert {len(rows) for rows in first.values()} == {10} and len(first) == 30
    _, told = backfill(plant)
    assert told.startswith("observations 0 days read (0 rows), 30 unchanged")
    _, told = backfill(plant, "--begin", "2025-03-25", "--end", "2025-04-02", "--reread")
    assert told.startswith("observations 9 days read (20 rows)")


def test_a_stop_keeps_what_was_read_and_the_next_call_goes_on(plant, monkeypatch):
    read, steps = reading.read_part, iter(range(100))

    def stopped(*what):
        if next(steps) == 2:
            raise KeyboardInterrupt
        return read(*what)

    monkeypatch.setattr(reading, "read_part", stopped)
    code, told = backfill(plant)
    assert code == 130
    assert told == "Stopped. 14 days of observations were read and are kept. Run again to go on."
    assert len(held(plant)) == 14
    store = DayStore("observations", load_settings(plant / "settings.yaml").spine_source)
    assert not list((plant / "days").rglob(".work/*"))
    assert store.shelf.renewed == ""
    code, told = backfill(plant)
    assert (code, told.partition(",")[0]) == (0, "observations 16 days read (160 rows)")
    resumed = held(plant)
    again = plant / "again"
    again.mkdir()
    (plant / "plant.db").rename(again / "plant.db")
    (again / "settings.yaml").write_text(SETTINGS.format(folder=again))
    backfill(again)
    assert resumed == held(again)


def test_a_reread_mends_what_no_watermark_saw_and_tells_the_cache(plant):
    from pipeline.local.plan import _watermark

    source = load_settings(plant / "settings.yaml").spine_source
    backfill(plant)
    before = held(plant)
    first = _watermark("observations", source, 0)
    with sqlite3.connect(plant / "plant.db") as connection:
        connection.execute("UPDATE observations SET fails = 7 WHERE at LIKE '2025-04-09%'")
    connection.close()
    unseen = _watermark("observations", source, 0)
    backfill(plant)
    assert held(plant) == before
    _, told = backfill(plant, "--begin", "2025-04-09", "--end", "2025-04-09", "--reread")
    assert told.startswith("observations 1 days read (10 rows)")
    after = held(plant)
    assert [day for day in after if after[day] != before[day]] == [20187]
    assert len({first, unseen, _watermark("observations", source, 0)}) == 3


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("--begin", "May", "--end", "2025-05-02"), "'May' is no day: expected one such as"),
        (("--begin", "2025-05-02", "--end", "2025-05-01"), "lies before --begin 2025-05-02"),
        (
            ("--begin", "2025-05-01", "--end", "2025-05-02", "--source", "errors"),
            "--source 'errors' is no source that is read by day; these are: observations.",
        ),
    ],
)
def test_a_wrong_call_is_told(plant, arguments, rule):
    code, told = backfill(plant, *arguments)
    assert code == 1 and rule in told


def test_days_that_the_next_run_removes_are_told(plant):
    _, told = backfill(plant, "--begin", "2025-01-01", "--end", "2025-01-03")
    # as_of May 1, less a horizon, 2d of eval, a horizon of embargo, 10d of train: April 17.
    assert "Days before 2025-03-18 go with the next run" in told
    assert "more than 30d before its window (sources.observations.incremental.keep)" in told
