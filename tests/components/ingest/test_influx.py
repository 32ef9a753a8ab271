"""The source ``influx`` against a real InfluxDB 1.6."""

import http.server
import threading
from typing import Any

import pytest

from components.ingest.conformance import SourceConformance, Subject
from components.ingest.errors import DataError
from components.ingest.kinds import kinds
from components.ingest.plan import FAR_FUTURE, NoRowsError, Times
from components.ingest.source import RowSource
from tests import source_rows

ALL = Times(0, FAR_FUTURE, FAR_FUTURE)
services = pytest.mark.services


@pytest.fixture(scope="module")
def influx():
    from tests.influx import Influx

    with Influx() as server:
        server.write(*map(line, source_rows.readings()))
        yield server


@pytest.fixture
def server(influx, monkeypatch):
    monkeypatch.setenv("PLANT_INFLUX", influx.url)
    return influx


def line(row: dict[str, Any], measurement: str = "telemetry", **other: str) -> str:
    """A point in the line protocol."""
    note = row["note"].replace("\\", "\\\\").replace('"', '\\"')
    values = {"count": f"{row['count']}i", "ok": str(row["ok"]).lower(), "note": f'"{note}"'}
    if row["temperature"] is not None:
        values["temperature"] = row["temperature"]
    fields = ",".join(f"{key}={value}" for key, value in (values | other).items())
    return f"{measurement},machine_id={row['machine_id']} {fields} {row['at'] // 1_000_000}"


def make(**settings: Any) -> RowSource:
    defaults = {
        "kind": "influx",
        "url_env": "PLANT_INFLUX",
        "database": "plant",
        "measurement": "telemetry",
        "tags": ["machine_id"],
        "fields": ["temperature", "count", "ok", "note"],
        "entity": "machine_id",
        "batch_rows": 3,
    }
    return kinds()["influx"].model_validate({**defaults, **settings})


def read(source: RowSource, times: Times = ALL) -> list[dict[str, Any]]:
    plan = source.plan("telemetry", times)
    return [
        row
        for part in plan.partitions
        for batch in source.read("telemetry", times, plan.columns, part)
        for row in batch.to_pylist()
    ]


@services
class TestConformance(SourceConformance):
    @pytest.fixture
    def subject(self, server, monkeypatch, request):
        monkeypatch.setenv("NOBODY", f"http://plant:{server.password}@127.0.0.1:9")
        name = f"telemetry_{abs(hash(request.node.name))}"
        server.write(*(line(row, name) for row in source_rows.readings()))
        how = {
            "measurement": name,
            "time": "at",
            "partitions": {"column": "at", "count": 2},
            "watermark": True,
        }
        order = ["at", "machine_id", "temperature", "count", "ok", "note"]
        return Subject(
            source=make(**how),
            times=source_rows.TIMES,
            rows=[{key: row[key] for key in order} for row in source_rows.asked()],
            change=lambda: server.write(line(source_rows.LATE, name)),
            unreachable=make(**how, url_env="NOBODY"),
            broken=make(**how, types={"note": "int"}),
            secrets=(server.password,),
        )


@services
def test_times_are_cut_to_microseconds_and_the_end_of_time_can_be_asked(server):
    server.write("ticks,machine_id=m1 n=1i 1745000000")
    assert read(make(measurement="ticks", fields=["n"]))[0]["time"] == 1_745_000_000_000_000


@services
def test_integers_and_floats_of_two_shards_go_together_but_not_text(server):
    week = 7 * 86_400
    server.write("mixed,machine_id=m1 n=1i,t=1 1745000000")
    server.write(f'mixed,machine_id=m1 n=2.5,t="x" {1_745_000_000 + 4 * week}')
    source = make(measurement="mixed", fields=["n"])
    assert [row["n"] for row in read(source)] == [1.0, 2.5]
    with pytest.raises(DataError, match="column 't': the field is written as float and as text"):
        make(measurement="mixed", fields=["t"]).plan("telemetry", ALL)


@services
def test_where_types_and_an_entity_that_is_a_number(server):
    server.write("typed,machine_id=7,site=it's n=1 1745000000", "typed,machine_id=8 n=2 1745000000")
    how = {"measurement": "typed", "fields": ["n"], "types": {"machine_id": "int"}}
    source = make(**how, tags=["machine_id", "site"], where="\"site\" = 'it\\'s'")
    assert [(row["machine_id"], row["site"]) for row in read(source)] == [(7, "it's")]
    assert make(**how).entity_rows("telemetry", ALL, [8])["n"].to_pylist() == [2.0]


@services
@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"database": "plants"}, "the server has no such database"),
        ({"measurement": "tele"}, "measurements there: .*telemetry"),
        ({"tags": ["machine_id", "site"]}, "column 'site': telemetry has no such tag; its tags"),
        ({"fields": ["temp"]}, "column 'temp': telemetry has no such field; its fields are count"),
        ({"where": "count >"}, "the server refuses the query .*error parsing"),
    ],
)
def test_errors(server, settings, rule):
    with pytest.raises(DataError, match=rule):
        make(**settings).plan("telemetry", ALL)


@services
def test_a_wrong_password(server, monkeypatch):
    monkeypatch.setenv("PLANT_INFLUX", server.url.replace(server.password, "secretwrong"))
    with pytest.raises(DataError, match="refuses the user or the password") as told:
        make().plan("telemetry", ALL)
    assert "secretwrong" not in str(told.value)


@services
def test_no_watermark_reads_anew(server):
    source = make()
    assert source.fingerprint("telemetry", 0) != source.fingerprint("telemetry", 0)
    assert issubclass(NoRowsError, DataError)


def test_an_answer_that_breaks_off_is_no_whole_one(monkeypatch):
    """A server that dies in the middle of its chunks, which a real one can't be asked to do."""

    class BreaksOff(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            text = b"name,tags,time,machine_id,n\n" + b"telemetry,,1,m1,2\n" * 100
            self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
            self.close_connection = True

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("PLANT_INFLUX", f"http://127.0.0.1:{server.server_address[1]}")
        from components.ingest.plan import Column
        from components.ingest.time_parts import TimePart

        columns = [Column("time", "time", True), Column("machine_id", "text"), Column("n", "int")]
        source = make(fields=["n"])
        with pytest.raises(DataError, match="the connection broke while rows were read"):
            list(source.read("telemetry", ALL, columns, TimePart(0, 10)))
        server.shutdown()


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"entity": "machine"}, "entity names 'machine'; tags and fields are machine_id"),
        ({"partitions": {"column": "note", "count": 2}}, "expected 'time'"),
        ({"fields": ["machine_id"]}, "column 'machine_id' stands twice"),
        ({"url_env": None}, "expected url_env"),
        ({"url": "http://me:hunter2@host"}, "a password must not stand in settings"),
    ],
)
def test_settings(settings, rule):
    with pytest.raises(ValueError, match="validation error") as told:
        make(**settings)
    assert rule in str(told.value)
