"""The source ``mongo``, through pymongo against a stand-in that speaks MongoDB's wire protocol."""

import datetime
from typing import Any

import bson
import pytest

from components.ingest import patience
from components.ingest.conformance import SourceConformance, Subject
from components.ingest.errors import DataError
from components.ingest.kinds import kinds
from components.ingest.plan import FAR_FUTURE, NoRowsError, Times
from components.ingest.source import RowSource
from tests import source_rows
from tests.mongo import MongoStandIn

ALL = Times(0, FAR_FUTURE, FAR_FUTURE)
DAY = datetime.datetime(2025, 4, 1, tzinfo=datetime.timezone.utc)
FIELDS = {
    "machine_id": "machine.id",
    "at": "at",
    "temperature": "values.temperature",
    "count": "values.count",
    "ok": "ok",
    "note": "note",
}


def document(row: dict[str, Any]) -> dict[str, Any]:
    values = {k: row[k] for k in ("temperature", "count") if row[k] is not None}
    at = datetime.datetime.fromtimestamp(row["at"] / 1e6, datetime.timezone.utc)
    machine = {"id": row["machine_id"]}
    return {"_id": bson.ObjectId(), "machine": machine, "at": at, "values": values} | {
        key: row[key] for key in ("ok", "note")
    }


@pytest.fixture
def server(monkeypatch):
    with MongoStandIn({"readings": [document(row) for row in source_rows.readings()]}) as server:
        monkeypatch.setenv("PLANT_MONGO", server.url)
        yield server


def make(**settings: Any) -> RowSource:
    defaults = {
        "kind": "mongo",
        "url_env": "PLANT_MONGO",
        "collection": "readings",
        "fields": FIELDS,
        "entity": "machine_id",
        "time": "at",
        "batch_rows": 3,
    }
    return kinds()["mongo"].model_validate({**defaults, **settings})


@pytest.fixture
def docs(server):
    """A collection of its own and a way to read it."""

    def read(documents, times=ALL, **settings):
        server.collections["own"] = [
            {"_id": n, "machine": {"id": "m1"}, "at": DAY} | d for n, d in enumerate(documents)
        ]
        settings["fields"] = {"machine_id": "machine.id", "at": "at"} | settings["fields"]
        source = make(collection="own", **settings)
        plan = source.plan("own", times)
        found: list[dict[str, Any]] = []
        for part in plan.partitions:
            for batch in source.read("own", times, plan.columns, part):
                found += [
                    dict(zip(batch.schema.names, row, strict=True))
                    for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
                ]
        return found

    return read


@pytest.mark.parametrize("column", ["_id", "at"])
class TestConformance(SourceConformance):
    @pytest.fixture
    def subject(self, server, monkeypatch, column):
        unreachable = server.url.replace(f":{server.port}", ":9")
        monkeypatch.setenv("NOBODY", f"{unreachable}&serverSelectionTimeoutMS=300")
        monkeypatch.setenv("STRAY", server.url)
        documents = server.collections["readings"]
        stray = [*documents[:10], documents[10] | {"note": 7}, *documents[11:]]
        server.collections["stray"] = stray
        how = {"partitions": {"column": column, "count": 2}, "watermark": "at"}
        return Subject(
            source=make(**how),
            times=source_rows.TIMES,
            rows=source_rows.asked(),
            change=lambda: documents.append(document(source_rows.LATE)),
            unreachable=make(**how, url_env="NOBODY"),
            broken=make(**how, collection="stray"),
            secrets=(server.password,),
        )


def test_the_stray_value_is_told_with_its_document(docs):
    rows = [{"n": 1}, {"n": 2}, {"n": 3}, {"n": "four"}]
    with pytest.raises(DataError) as told:
        docs(rows, fields={"n": "n"})
    assert str(told.value) == (
        "own: column 'n', row 4 (machine_id 'm1', at datetime.datetime(2025, 4, 1, 0, 0, tzi…, "
        "_document 3) is 'four': this column is read as int; it is text. Convert n in the source's "
        "pipeline ($convert), or set types: {n: text} or another type in the source"
    )


@pytest.mark.parametrize(
    ("choice", "values"),
    [
        ("first", [1, None, 5]),
        ("last", [3, None, 5]),
        ("count", [3, 0, 1]),
        ("sum", [6, None, 5]),
        ("mean", [2.0, None, 5.0]),
        ("min", [1, None, 5]),
        ("max", [3, None, 5]),
        ("join", ["1,2,3", None, "5"]),
    ],
)
def test_arrays(docs, choice, values):
    rows = [{"v": [{"x": 1}, {"x": 2}, {"y": 0}, {"x": 3}]}, {"v": []}, {"v": {"x": 5}}]
    found = docs(rows, fields={"x": {"path": "v.x", "array": choice}})
    assert [row["x"] for row in found] == values


def test_an_array_without_what_is_chosen_names_its_document(docs):
    rows = [{"v": [1, 2]}, {"v": ["a", 2]}]
    with pytest.raises(DataError, match=r"column 'v', _document 1 is .*: there is no sum of these"):
        docs(rows, fields={"v": {"path": "v", "array": "sum"}})


def test_an_array_without_a_choice_stays_one(docs):
    found = docs([{"v": [1, 2]}, {}, {"v": []}], fields={"v": "v"})
    assert [row["v"] for row in found] == [[1, 2], None, []]


@pytest.mark.parametrize(
    ("value", "settings", "expected"),
    [
        (bson.ObjectId("64b7f0c2a1b2c3d4e5f60718"), {}, "64b7f0c2a1b2c3d4e5f60718"),
        (bson.Decimal128("1.25"), {}, 1.25),
        (bson.Int64(2**62), {}, 2**62),
        (b"\x00\x01", {}, b"\x00\x01"),
        (DAY, {}, source_rows.DAY),
        (DAY, {"timezone": "Asia/Tokyo"}, source_rows.DAY),
        ([DAY, DAY], {"timezone": "Asia/Tokyo"}, [source_rows.DAY] * 2),
        (True, {}, True),
        ("7", {"types": {"v": "int"}}, 7),
        (1, {"types": {"v": "bool"}}, True),
        ("2025-04-01T02:00:00", {"types": {"v": "time"}, "timezone": "Europe/Berlin"}, None),
    ],
    ids=str,
)
def test_types(docs, value, settings, expected):
    expected = source_rows.DAY if expected is None else expected
    assert docs([{"v": value}, {"v": None}], fields={"v": "v"}, **settings)[0]["v"] == expected


@pytest.mark.parametrize("value", [{"a": 1}, bson.Regex("a"), bson.MinKey()], ids=str)
def test_types_without_a_place(docs, value):
    with pytest.raises(DataError, match=r"column 'v', row 1 is .*: its type \w+ cannot be mapped"):
        docs([{"v": value}], fields={"v": "v"})


def test_a_path_that_no_document_has_is_told_but_null_is_not(docs):
    assert docs([{"v": None}], fields={"v": "v"})[0]["v"] is None
    with pytest.raises(DataError, match=r"no document has the path v\.x; the first one has _id"):
        docs([{"v": None}], fields={"x": "v.x"})
    assert docs([{}], fields={"x": "v.x"}, types={"x": "float"})[0]["x"] is None


def test_a_column_that_begins_late_takes_its_first_value(docs):
    found = docs([{"v": None}, {}, {}, {}, {"v": 1.5}], fields={"v": "v"})
    assert [row["v"] for row in found] == [None, None, None, None, 1.5]


def test_ids_of_several_types_are_each_in_one_part(docs, server):
    ids: list[Any] = [1, 2, 3, "a", "b", bson.ObjectId(), bson.ObjectId(), bson.ObjectId()]
    rows = [{"_id": key, "n": place} for place, key in enumerate(ids)]
    for count in (2, 3, 4, 8):
        found = docs(rows, fields={"n": "n"}, partitions={"column": "_id", "count": count})
        assert sorted(row["n"] for row in found) == list(range(8))


def test_filter_and_pipeline_are_bound(docs):
    rows = [
        {"seen": DAY + datetime.timedelta(hours=h), "who": bson.ObjectId(f"{h:024x}"), "n": h}
        for h in range(4)
    ]
    at = source_rows.DAY + source_rows.HOUR
    times = Times(source_rows.DAY, source_rows.DAY + 1, at)
    condition = {"$or": [{"seen": {"$lte": ":as_of"}}, {"who": {"$oid": f"{3:024x}"}}]}
    given: dict[str, Any]
    for given in ({"filter": condition["$or"][0]}, {"pipeline": [{"$match": condition["$or"][0]}]}):
        found = docs(rows, times, fields={"n": "n"}, **given)
        assert [row["n"] for row in found] == [0, 1]
    found = docs(rows, times, fields={"n": "n"}, filter=condition["$or"][1])
    assert [row["n"] for row in found] == [3]


def test_numbers_as_times(docs):
    rows = [{"at": 100 + n, "n": n} for n in range(4)]
    times = Times(101_000_001, 103_000_000, FAR_FUTURE)
    found = docs(rows, times, fields={"n": "n"}, time_unit="s")
    assert [(row["at"], row["n"]) for row in found] == [(102_000_000, 2)]


def test_a_wrong_password(server, monkeypatch):
    monkeypatch.setenv("PLANT_MONGO", server.url.replace(server.password, "secretwrong"))
    with pytest.raises(DataError, match="refuses the user or the password") as told:
        make().plan("readings", ALL)
    assert "secretwrong" not in str(told.value)


def test_a_connection_that_breaks_while_documents_are_read(server):
    source = make()
    plan = source.plan("readings", ALL)
    batches = source.read("readings", ALL, plan.columns, plan.partitions[0])
    next(batches)
    server.break_after = 0
    with pytest.raises(DataError, match="the connection broke"):
        list(batches)
    server.break_after = None
    again = source.read("readings", ALL, plan.columns, plan.partitions[0])
    assert sum(batch.num_rows for batch in again) == 24


def test_a_part_that_breaks_off_is_read_anew(server, monkeypatch):
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", 0.01)
    source = make()
    plan = source.plan("readings", ALL)
    server.break_after = 2
    rows: dict[int, int] = {}
    part = plan.partitions[0]
    for attempt, batch in patience.read_part("readings", source, ALL, plan.columns, part):
        if attempt == 2:
            server.break_after = None
        rows[attempt] = rows.get(attempt, 0) + batch.num_rows
    assert 0 < rows[1] < 24 and rows[2] == 24


def test_a_collection_that_is_not_there(server):
    with pytest.raises(NoRowsError, match="there is no such collection, but readings"):
        make(collection="reading").plan("readings", ALL)


def test_entities_are_asked_of_the_server(server):
    plan = make().plan_entities("readings", ALL, ["m1"])
    assert plan.partitions[0].time.entities == ("m1",)
    asked = make().read("readings", ALL, plan.columns, plan.partitions[0])
    assert {m for batch in asked for m in batch.column(0).to_pylist()} == {"m1"}


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"entity": "machine"}, "entity names 'machine'; fields are machine_id, at"),
        ({"partitions": {"column": "note", "count": 2}}, "expected '_id' or 'at'"),
        ({"filter": {"at": {"$gte": ":start"}}}, "':start' isn't bound"),
        ({"fields": FIELDS | {"at": {"path": "at", "array": "max"}}}, "the time is no array"),
        ({"url_env": None}, "expected url_env"),
        ({"url": "mongodb://me:hunter2@host/plant"}, "a password must not stand in settings"),
        ({"url_env": "mongodb://host/plant"}, "expected the name of an environment variable"),
    ],
)
def test_settings(settings, rule):
    with pytest.raises(ValueError, match="validation error") as told:
        make(**settings)
    assert rule in str(told.value)
