"""Whatever happens to the data between runs, kept days give the rows that a whole read gives."""

import concurrent.futures
import copy
import sqlite3

import numpy as np
import pytest

from components.ingest import patience
from components.ingest.durations import format_instant, parse_instant
from components.ingest.errors import BrokenOffError, DataError
from components.ingest.plan import Times
from components.ingest.sources import SqlSource
from components.ingest.spans.days import DAY
from tests import kept_days

BEGIN = parse_instant("2025-04-01")
QUERY = "SELECT id, at, value, note FROM events WHERE at >= :begin AND at < :end"
STATE = "SELECT COUNT(*), MAX(changed) FROM events WHERE at >= :begin AND at < :end"


def text(moment: int) -> str:
    return format_instant(moment).replace("T", " ").removesuffix("Z")


class Plant:
    """A table that changes, and a clock; ``changed`` counts up with every change of a row."""

    def __init__(self, folder, **incremental):
        self.path = folder / "plant.db"
        self.folder = folder
        self.changes = 0
        self.runs = 0
        with self.open() as connection:
            connection.execute(
                "CREATE TABLE events (id INTEGER, at TEXT, value NUMERIC, note TEXT, changed INT)"
            )
        self.source = SqlSource.model_validate(
            {
                "kind": "sql",
                "url": f"sqlite:///{self.path}",
                "query": QUERY,
                "entity": "id",
                "time": "at",
                "batch_rows": 7,
                "partitions": {"column": "id", "count": 2},
                "types": {"value": "float"},
                "incremental": {"directory": str(folder / "days"), **incremental},
            }
        )

    def open(self):
        return sqlite3.connect(self.path)

    def add(self, moment: int, value, note=None, entity: int = 1) -> None:
        self.changes += 1
        with self.open() as connection:
            row = (entity, text(moment), value, note, self.changes)
            connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)

    def change(self, statement: str, *values) -> None:
        with self.open() as connection:
            connection.execute(statement, values)

    def whole(self, times: Times) -> list:
        return kept_days.whole_read("events", self.source, times)

    def by_day(self, times: Times, as_of: int | None = None):
        """What kept days give, and the days that were read for it."""
        self.runs += 1
        folder = self.folder / f"run{self.runs}"
        rows, read = kept_days.read_by_day("events", self.source, times, folder, as_of)
        return rows, [day - BEGIN // DAY for day in read]


def window(days: float, begin: int = BEGIN) -> Times:
    end = begin + round(days * DAY)
    return Times(begin, end, end)


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes_and_runs_gives_what_a_whole_read_gives(tmp_path, seed):
    random = np.random.default_rng(seed)
    plant = Plant(tmp_path, watermark=STATE)
    begin, days = BEGIN, 4.0
    for moment in random.integers(BEGIN, BEGIN + 4 * DAY, 60).tolist():
        plant.add(moment, int(random.integers(9)), entity=int(random.integers(5)))
    for _ in range(12):
        for _ in range(random.integers(4)):
            moment = int(random.integers(begin - DAY, begin + round((days + 1) * DAY)))
            kind = random.integers(5)
            if kind == 0:
                plant.add(moment, int(random.integers(9)))
            elif kind == 1:
                plant.add(moment, float(random.normal()), note=f"late {moment}")
            elif kind == 2:
                plant.changes += 1
                statement = "UPDATE events SET value = value + 1, changed = ? WHERE date(at) = ?"
                plant.change(statement, plant.changes, text(moment)[:10])
            elif kind == 3:
                plant.change("DELETE FROM events WHERE date(at) = ?", text(moment)[:10])
            else:
                plant.add(moment, None)
        if random.random() < 0.6:
            step = round(random.random() * 1.5 * DAY)
            begin += step
        times = window(days, begin)
        try:
            whole = plant.whole(times)
        except Exception as error:
            with pytest.raises(type(error)):
                plant.by_day(times)
            continue
        assert plant.by_day(times)[0] == whole
        again, read = plant.by_day(times)
        assert again == whole and read == []


def test_without_a_watermark_late_days_are_read_until_they_settle(tmp_path):
    plant = Plant(tmp_path, late="36h")
    for day in range(8):
        plant.add(BEGIN + day * DAY + 1, 1)
    assert plant.by_day(window(4))[1] == [0, 1, 2, 3]
    plant.add(BEGIN + 3 * DAY + 5, 2)
    rows, read = plant.by_day(window(4))
    assert (rows, read) == (plant.whole(window(4)), [2, 3])
    # A week later the days that were read too early are read once more, and are settled then.
    assert plant.by_day(window(4), as_of=BEGIN + 11 * DAY)[1] == [2, 3]
    assert plant.by_day(window(4), as_of=BEGIN + 11 * DAY)[1] == []
    plant.add(BEGIN + DAY, 3)
    assert plant.by_day(window(4))[0] != plant.whole(window(4))


def test_a_clock_that_runs_ahead_settles_no_day(tmp_path, monkeypatch):
    """``as_of`` may lie in the future: what the clock says counts then."""
    plant = Plant(tmp_path, late="1d")
    plant.add(BEGIN + 1, 1)
    now = BEGIN + DAY // 2
    monkeypatch.setattr("time.time_ns", lambda: now * 1000)
    assert plant.by_day(window(1), as_of=BEGIN + 99 * DAY)[1] == [0]
    assert plant.by_day(window(1), as_of=BEGIN + 99 * DAY)[1] == [0]


@pytest.mark.parametrize("big", [False, True])
def test_whole_numbers_and_fractions_on_different_days_are_one_column(tmp_path, big):
    """SQLite keeps 10.0 as 10: a day may hold whole numbers only."""
    plant = Plant(tmp_path, watermark=STATE)
    plant.source = plant.source.model_copy(update={"types": {}})
    plant.add(BEGIN, 2**24 + 1 if big else 3)
    plant.add(BEGIN + DAY, None)
    assert plant.by_day(window(2)) == (plant.whole(window(2)), [0, 1])
    plant.add(BEGIN + 2 * DAY, 2.5)
    rows, read = plant.by_day(window(3))
    assert (rows, read) == (plant.whole(window(3)), [2])
    assert {type(dict(row)["value"]) for row in rows} == {float, type(None)}
    assert plant.by_day(window(2)) == (plant.whole(window(2)), [])


def test_a_column_that_came_later_is_read_on_all_days(tmp_path):
    plant = Plant(tmp_path, watermark=STATE)
    query = "SELECT *, id AS entity FROM events WHERE at >= :begin AND at < :end"
    plant.source = plant.source.model_copy(update={"query": query, "entity": "entity"})
    for day in range(4):
        plant.add(BEGIN + day * DAY, 1)
    plant.by_day(window(4))
    plant.change("ALTER TABLE events ADD COLUMN place TEXT DEFAULT 'hall'")
    assert plant.by_day(window(4))[1] == []
    plant.change("UPDATE events SET changed = 99 WHERE at LIKE '2025-04-03%'")
    rows, read = plant.by_day(window(4))
    assert (rows, read) == (plant.whole(window(4)), [0, 1, 2, 3])


def test_days_that_do_not_go_together_are_told(tmp_path):
    plant = Plant(tmp_path, watermark=STATE)
    plant.source = plant.source.model_copy(update={"types": {}})
    plant.change("ALTER TABLE events RENAME TO old")
    plant.change("CREATE TABLE events (id INTEGER, at TEXT, value, note TEXT, changed INT)")
    plant.add(BEGIN, 1)
    plant.add(BEGIN + DAY, "high")
    plant.by_day(window(1))
    with pytest.raises(DataError) as told:
        plant.by_day(window(2))
    assert str(told.value) == (
        "events: column 'value': it is int on 2025-04-01 and text on later days up to 2025-04-02. "
        "Settle it by types: {value: …} in the source, or in the query"
    )


def test_a_query_that_gives_rows_of_other_days_is_told(tmp_path):
    plant = Plant(tmp_path, late="1d")
    query = QUERY.replace(">= :begin", ">= date(:begin, '-1 day')")
    plant.source = plant.source.model_copy(update={"query": query})
    for day in range(3):
        plant.add(BEGIN + day * DAY, 1)
    with pytest.raises(DataError, match=r"a row of 2025-04-02T00:00:00Z came when 2025-04-03 to"):
        plant.by_day(Times(BEGIN + 2 * DAY, BEGIN + 3 * DAY, BEGIN + 3 * DAY))


def test_runs_at_the_same_time_do_not_harm_each_other(tmp_path):
    plant = Plant(tmp_path, late="99d")
    for hour in range(100):
        plant.add(BEGIN + hour * DAY // 12, hour)
    whole = plant.whole(window(8))

    def run(number: int) -> list:
        other = copy.copy(plant)
        other.runs = number * 100
        return [other.by_day(window(8))[0] for _ in range(3)]

    with concurrent.futures.ThreadPoolExecutor(3) as runs:
        assert list(runs.map(run, range(3))) == [[whole] * 3] * 3


def test_a_part_that_breaks_off_is_read_again_and_not_twice(tmp_path, monkeypatch):
    plant = Plant(tmp_path, late="1d")
    for hour in range(60):
        plant.add(BEGIN + hour * DAY // 24, hour)
    whole, read, tries, broken = plant.whole(window(3)), SqlSource.read, [], []

    def breaks_off(*asked):
        tries.append(asked)
        for count, batch in enumerate(read(*asked)):
            if count == 2 and not broken:
                broken.append(batch)
                raise BrokenOffError("events", "database", "the connection broke", "Look there")
            yield batch

    monkeypatch.setattr(SqlSource, "read", breaks_off)
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", 0.0)
    assert plant.by_day(window(3))[0] == whole
    assert len(tries) == 3


def test_a_database_that_is_moved_over_is_not_kept(tmp_path, monkeypatch):
    plant = Plant(tmp_path, late="1d")
    plant.add(BEGIN, 1)
    monkeypatch.setattr(SqlSource, "identity", lambda *_: f"{next(inodes)}")
    inodes = iter((1, 2, 3, 3))
    with pytest.raises(DataError, match="it was removed or moved over while the run read it"):
        plant.by_day(window(1))
    assert plant.by_day(window(1))[1] == [0]
