"""Whatever happens to the data between runs, kept days give the rows that a whole read gives."""

import sqlite3

import numpy as np
import pytest

from components.ingest.durations import format_instant, parse_instant
from components.ingest.examples import read_table
from components.ingest.plan import Times
from components.ingest.sources import SqlSource
from components.ingest.spans.days import DAY, days_of
from components.ingest.spans.reading import read_stretches
from components.ingest.spans.refresh import look, refresh
from components.ingest.spans.shards import write_shards
from components.ingest.spans.store import DayStore

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
        """What a read of the whole window gives."""
        plan = self.source.plan("events", times)
        return _rows(
            batch.to_pydict()
            for part in plan.partitions
            for batch in self.source.read("events", times, plan.columns, part)
        )

    def by_day(self, times: Times, as_of: int | None = None):
        """What kept days give, and the days that were read for it."""
        self.runs += 1
        folder = self.folder / f"run{self.runs}"
        folder.mkdir()
        store = DayStore("events", self.source)
        days = days_of(times.begin, times.end)

        def read(stretches, watermarks, seen):
            return read_stretches("events", self.source, store, stretches, watermarks, seen)

        due = look("events", self.source, days, as_of or times.end)
        refreshed = refresh("events", self.source, store, days, due, read)
        rows, first, last = write_shards(
            "events", self.source, store, refreshed, times, str(folder)
        )
        table = read_table(sorted(str(path) for path in folder.iterdir()))
        assert table.num_rows == rows
        held = table["at"].to_pylist()
        assert (first, last) == (min(held), max(held))
        store.prune(days.start - 30)
        return _rows([table.to_pydict()]), [day.day - BEGIN // DAY for day in refreshed.read]


def _rows(columns) -> list:
    rows = []
    for held in columns:
        notes = [n.decode() if isinstance(n, bytes) else n for n in held["note"]]
        values = [None if v is None else float(np.float32(v)) for v in held["value"]]
        kinds = [type(v).__name__ for v in held["value"]]
        rows += zip(held["id"], held["at"], values, kinds, notes, strict=True)
    return sorted(rows, key=repr)


def window(days: float, begin: int = BEGIN) -> Times:
    end = begin + round(days * DAY)
    return Times(begin, end, end)


@pytest.mark.parametrize("seed", range(6))
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
