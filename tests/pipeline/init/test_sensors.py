"""What sensor files show of themselves."""

import datetime
import json
import random

import pytest

from components.ingest.errors import DataError
from components.ingest.sensor.source import SensorSource
from pipeline.init import sensors

DAY = 86_400_000_000
BEGIN = datetime.datetime(2025, 1, 1)


def readings(minutes=15, count=60):
    draw = random.Random(1)
    for n in range(count):
        for machine in (7, 8):
            at = BEGIN + datetime.timedelta(minutes=minutes * n, seconds=draw.random())
            yield machine, at.isoformat() + "Z", draw.gauss(60, 4), draw.uniform(2, 3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def look(path, entities=("machine_id",)):
    name, block, uses, course = sensors.look(path, entities, DAY, "UTC")
    SensorSource.model_validate(block)
    return name, block, uses, course


def write_wide(path, **more):
    lines = ["MachineID,ts,temperature,vibration,temperature_unit,firmware,mode"]
    for machine, at, temperature, vibration in readings(**more):
        lines.append(f"{machine},{at},{temperature:.2f},{vibration:.3f},degC,2,auto")
    path.write_text("\n".join(lines) + "\n")


def test_wide_files(folder):
    write_wide(folder / "plant.csv")
    name, block, uses, course = look("data")
    assert (name, block["path"], block["entity"]) == ("data", "data/**/*.*", "MachineID")
    assert block["time"] == {"column": "ts"}
    assert block["interval"] == "15m"
    assert block["max_gap"] == "2h"
    assert [window["size"] for window in block["windows"]] == ["3h", "24h"]
    assert list(block["channels"]) == ["temperature", "vibration"]
    assert block["channels"]["temperature"]["unit"] == "degC"
    low, high = block["channels"]["vibration"]["range"]
    assert low < 0 and high > 5
    told = {use.column: (use.use, use.reason) for use in uses}
    assert told["firmware"] == ("", "constant: always 2")
    assert told["mode"][0] == ""
    assert told["temperature_unit"] == ("unit", "unit of temperature")
    assert course.entities == 2


def test_lines_of_json_with_a_broken_one(folder):
    lines = [
        json.dumps({"machine_id": m, "ts": at, "received_at": at, "gateway": "g1", "x": x})
        for m, at, x, _ in readings(minutes=1)
    ]
    lines[5] = lines[5][:20]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    _, block, _, _ = look("data/*.jsonl")
    assert block["time"] == {"column": "ts", "received_at": "received_at"}
    assert block["gateway"] == "gateway"
    assert block["interval"] == "1m"
    assert list(block["channels"]) == ["x"]


def test_long_files(folder):
    lines = ["asset,time,sensor,value,quality"]
    for machine, at, temperature, vibration in readings(minutes=60):
        stamp = int(datetime.datetime.fromisoformat(at[:-1] + "+00:00").timestamp())
        lines += [
            f"{machine},{stamp},temp,{temperature},ok",
            f"{machine},{stamp},vib,{vibration},ok",
        ]
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    name, block, uses, _ = look("data/log.csv", ["asset"])
    assert name == "log"
    assert (block["layout"], block["channel"], block["value"]) == ("long", "sensor", "value")
    assert list(block["channels"]) == ["temp", "vib"]
    assert block["time"] == {"column": "time", "unit": "s"}
    assert block["channels"]["temp"]["range"][0] > -100
    assert ("quality", "") in {(use.column, use.use) for use in uses}


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", "data/none-*.csv", "no file matches"),
        ("MachineID,ts,x\n", "data/a.csv", "hold no rows"),
        ("when,ts,x\n1,2025-01-01,2\n", "data/a.csv", "no column is the entity"),
        ("MachineID,n,x\n1,5,2\n", "data/a.csv", "no column holds times"),
        ("MachineID,ts,x\n1,2025-01-01,high\n", "data/a.csv", "no column holds readings"),
    ],
)
def test_files_of_no_use_are_told(folder, text, path, message):
    (folder / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        look(path)
