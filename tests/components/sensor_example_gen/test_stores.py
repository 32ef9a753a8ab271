"""Sensor files on S3: Arrow's client, against a stand-in that speaks the protocol."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest.errors import DataError
from components.ingest.sensor import files as sensor_files
from components.ingest.sensor.features import sensor_windows
from components.ingest.sensor.reading import read_part
from serving.online.sensor_rows import SensorReader
from tests.components.sensor_example_gen.conftest import BEGIN, END, HOUR, iso, make_source
from tests.s3 import KEY, SECRET, S3StandIn


@pytest.fixture
def s3(monkeypatch):
    with S3StandIn() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield server


def row(machine: int, hour: int) -> dict:
    return {"machine": machine, "ts": iso(BEGIN + hour * HOUR), "temperature": 20.0 + hour}


@pytest.fixture
def filled(s3, tmp_path):
    """Files of each format, in folders by day, on the store and on this machine."""
    rows = [row(machine, hour) for machine in range(4) for hour in range(20)]
    lines = [json.dumps(r) for r in rows]
    csv = [",".join(map(str, r.values())) for r in rows]
    pq.write_table(pa.Table.from_pylist(rows[40:60]), tmp_path / "c.parquet", row_group_size=5)
    contents = {
        "telemetry/day=1/a.jsonl": "\n".join(lines[:20]).encode() + b"\n",
        "telemetry/day=1/b.csv": "\n".join(["machine,ts,temperature", *csv[20:40]]).encode(),
        "telemetry/day=2/c.parquet": (tmp_path / "c.parquet").read_bytes(),
        "telemetry/day=2/deep/d.jsonl.gz": gzip.compress("\n".join(lines[60:]).encode()),
        "telemetry/day=2/.hidden.csv": b"broken",
        "other/e.jsonl": b"broken",
    }
    s3.objects.update(contents)
    for key, content in contents.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(content)
    return s3, tmp_path


def telemetry(root: object, **changes):
    formats = ("jsonl", "csv", "parquet", "gz")
    paths = [f"{root}/telemetry/**/*.{form}" for form in formats]
    return make_source(paths, channels={"temperature": {}}, **changes)


def test_windows_are_those_of_local_files(filled):
    _, folder = filled
    stored = sensor_windows("telemetry", telemetry("s3://plant"), BEGIN, END)
    local = sensor_windows("telemetry", telemetry(folder), BEGIN, END)
    assert stored.tables["every_1h"].equals(local.tables["every_1h"])
    assert stored.report["readings"] == local.report["readings"]
    assert stored.report["readings"]["used"] == 80
    assert list(stored.report["by_file"]) == [
        "s3://plant/telemetry/day=1/a.jsonl",
        "s3://plant/telemetry/day=1/b.csv",
        "s3://plant/telemetry/day=2/c.parquet",
        "s3://plant/telemetry/day=2/deep/d.jsonl.gz",
    ]


def test_prediction_reads_them_too(filled):
    _, folder = filled
    found, wanted = (
        SensorReader("telemetry", telemetry(root)).tables([2], BEGIN + 5 * HOUR, END, END)
        for root in ("s3://plant", folder)
    )
    assert found["every_1h"].equals(wanted["every_1h"])
    assert len(found["every_1h"])


def test_of_a_parquet_file_only_what_is_asked_for_is_fetched(s3, tmp_path):
    noise = np.random.default_rng(0).random(200_000)
    table = pa.table({"machine": np.arange(200_000) % 5, "ts": [iso(BEGIN)] * 200_000})
    wide = table.append_column("temperature", pa.array(noise)).append_column("x", pa.array(noise))
    for name in "yzuvw":
        wide = wide.append_column(name, pa.array(noise))
    pq.write_table(wide, tmp_path / "wide.parquet")
    s3.objects["wide.parquet"] = (tmp_path / "wide.parquet").read_bytes()
    source = make_source("s3://plant/wide.parquet", channels={"temperature": {}})
    part = sensor_files.whole_files("telemetry", source)[0]
    assert sum(rows.batch.num_rows for rows in read_part("telemetry", source, part)) == 200_000
    assert s3.fetched["wide.parquet"] < 0.4 * len(s3.objects["wide.parquet"])


def test_the_watermark_changes_with_size_and_time(filled):
    s3, _ = filled
    source = telemetry("s3://plant")
    before = sensor_files.watermark(source)
    assert sensor_files.watermark(source) == before
    s3.changed["telemetry/day=1/b.csv"] = 1
    later = sensor_files.watermark(source)
    s3.objects["telemetry/day=1/b.csv"] += b"\n"
    assert len({before, later, sensor_files.watermark(source)}) == 3


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("s3://plant/none/*.csv", "no file matches. Mend sources.telemetry.path"),
        ("s3://others/*.csv", "no file matches. Mend sources.telemetry.path"),
        ("ftp://plant/*.csv", "no store of this kind is known: expected s3:// or gs://"),
    ],
)
def test_what_is_not_there(s3, path, rule):
    with pytest.raises(DataError) as told:
        sensor_files.find_files("telemetry", make_source(path))
    assert rule in str(told.value)


def test_a_wrong_key_is_told_without_the_secret(s3, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OTHER")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(DataError, match="does not answer, or refuses") as told:
        sensor_files.find_files("telemetry", make_source("s3://plant/**/*.csv"))
    assert SECRET not in str(told.value)


def test_an_object_that_breaks_off(filled):
    s3, _ = filled
    packed = "telemetry/day=2/deep/d.jsonl.gz"
    s3.objects[packed] = s3.objects[packed][:50]
    with pytest.raises(DataError, match=r"d\.jsonl\.gz: cannot be read"):
        sensor_windows("telemetry", telemetry("s3://plant"), BEGIN, END)
