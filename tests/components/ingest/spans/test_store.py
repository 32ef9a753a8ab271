"""The store of days: what is seen of it at any moment, and what goes."""

import json
import time

import pyarrow as pa
import pytest

from components.ingest.errors import DataError
from components.ingest.examples import ShardWriter, read_table
from components.ingest.spans import shelf
from components.ingest.spans import store as stores
from components.ingest.spans.days import days_of, read_day, stretches, write_day
from components.ingest.spans.refresh import Due
from components.ingest.spans.store import Day, DayStore

DAY = read_day("2025-04-17")
HOUR = 3_600_000_000


@pytest.fixture
def source(tmp_path):
    from components.ingest.sources import SqlSource

    def make(**settings):
        told = {"late": "3d", "directory": str(tmp_path / "days")}
        what = {"kind": "sql", "url": "sqlite:///plant.db", "query": "SELECT 1"}
        what |= {"entity": "id", "time": "at", "incremental": told}
        return SqlSource.model_validate(what | settings)

    return make


def put(store: DayStore, day: int, *ids: int, seen: int = 0) -> Day:
    with store.shelf.workspace() as work:
        pieces = []
        for index, one in enumerate(ids):
            with ShardWriter(f"{work}/{index}.gz") as writer:
                writer.write(pa.RecordBatch.from_pydict({"id": [one], "at": [day]}))
            pieces.append(writer.path)
        told = Day(day, None, len(ids), day, day, {"id": "int", "at": "time"}, "w", seen)
        return store.put(told, pieces, work)


def ids(store: DayStore, day: Day) -> list[int]:
    return read_table([store.path(day)])["id"].to_pylist()


def test_a_day_is_the_pieces_in_order_and_is_replaced_whole(source):
    store = DayStore("errors", source())
    first = put(store, DAY, 3, 1, 2)
    assert store.load(range(DAY - 3, DAY + 3)) == {DAY: first}
    assert ids(store, first) == [3, 1, 2]
    second = put(store, DAY, 9)
    assert store.load(range(DAY, DAY + 1)) == {DAY: second}
    # A run that has looked before still finds what it saw.
    assert ids(store, first) == [3, 1, 2] and ids(store, second) == [9]


def test_a_day_without_rows_is_kept_without_a_file(source):
    store = DayStore("errors", source())
    put(store, DAY)
    assert store.load(range(DAY, DAY + 1))[DAY].file is None


def test_what_decides_the_rows_decides_the_folder(source, monkeypatch):
    base = DayStore("errors", source()).shelf.folder
    same = {"tolerance": "3d"}, {"batch_rows": 5}, {"partitions": {"column": "id", "count": 3}}
    assert all(DayStore("errors", source(**settings)).shelf.folder == base for settings in same)
    others = {"query": "SELECT 2"}, {"url": "sqlite:///b.db"}, {"types": {"a": "int"}}
    folders = {DayStore("errors", source(**settings)).shelf.folder for settings in others}
    monkeypatch.setattr(stores, "FORMAT", 2)
    folders |= {
        base,
        DayStore("errors", source()).shelf.folder,
        DayStore("other", source()).shelf.folder,
    }
    assert len(folders) == 6


@pytest.mark.parametrize("harm", ["half an entry", "no file"])
def test_a_day_that_was_damaged_is_read_again(source, harm):
    store = DayStore("errors", source())
    day = put(store, DAY, 1)
    folder = shelf.paths.Path(store.shelf.folder)
    if harm == "no file":
        (folder / day.file).unlink()
    else:
        entry = folder / f"{write_day(DAY)}.json"
        entry.write_text(json.dumps({"day": DAY})[:5])
    assert store.load(range(DAY, DAY + 1)) == {}


def test_pruning(source, monkeypatch):
    store, other = DayStore("errors", source()), DayStore("errors", source(query="SELECT 2"))
    put(other, DAY, 1)
    replaced, kept, old = put(store, DAY, 1), put(store, DAY, 2), put(store, DAY - 40, 3)
    shelf.paths.make_folder(f"{store.shelf.folder}/.work/{shelf._new_name()}")
    assert store.prune(DAY - 30) == [write_day(DAY - 40)]
    there = shelf.paths.names(store.shelf.folder)
    # What was read within a day may be in use: only its entry goes.
    assert {replaced.file, kept.file, old.file} < set(there) and ".work" in there
    now = time.time_ns()
    monkeypatch.setattr(shelf.time, "time_ns", lambda: now + 25 * HOUR * 1000)
    assert store.prune(DAY - 30) == []
    there = shelf.paths.names(store.shelf.folder)
    assert set(there) - {".work"} == {kept.file, f"{write_day(DAY)}.json"}
    assert shelf.paths.names(f"{store.shelf.folder}/.work") == []
    assert ids(store, kept) == [2]
    assert shelf.paths.exists(other.shelf.folder)
    monkeypatch.setattr(shelf.time, "time_ns", lambda: now + 31 * 24 * HOUR * 1000)
    store.prune(DAY - 30)
    assert not shelf.paths.exists(other.shelf.folder) and shelf.paths.exists(store.shelf.folder)


def test_without_a_folder_it_is_told(source):
    with pytest.raises(DataError, match=r"incremental.directory: it is not set"):
        DayStore("errors", source(incremental={"late": "1d"}))


@pytest.mark.parametrize(
    ("seen", "watermark", "late", "is_due"),
    [
        (24, "w", 0, False),
        (24, "other", 0, True),
        (23, "w", 0, False),
        (30, "w", 6, False),
        (29, "w", 6, True),
        (29, "other", 6, True),
    ],
)
def test_which_days_are_due(seen, watermark, late, is_due):
    """Hours of the day; ``late`` in hours after its end at 24."""
    held = Day(5, None, 0, None, None, {}, watermark, (5 * 24 + seen) * HOUR)
    due = Due(range(5, 6), {5: "w"}, late * HOUR, 0)
    assert due.days({5: held}) == ([5] if is_due else [])
    assert due.days({}) == [5]


def test_a_day_that_a_clock_ahead_read_is_read_again(monkeypatch):
    held = Day(5, None, 0, None, None, {}, "w", 30 * 24 * HOUR)
    due = Due(range(5, 6), {5: "w"}, 6 * HOUR, 0)
    assert due.days({5: held}) == []
    monkeypatch.setattr(time, "time_ns", lambda: 29 * 24 * HOUR * 1000)
    assert due.days({5: held}) == [5]


def test_days():
    begin = DAY * 24 * HOUR
    assert list(days_of(begin, begin + 24 * HOUR)) == [DAY]
    assert list(days_of(begin - 1, begin + 1)) == [DAY - 1, DAY]
    assert write_day(DAY) == "2025-04-17"
    assert stretches([1, 2, 3, 7, 8, 4], 3) == [range(1, 4), range(4, 5), range(7, 9)]
