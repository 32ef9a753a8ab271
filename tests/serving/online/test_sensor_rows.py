"""Windows of one machine at one time are those of the whole source, wherever readings lie."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.durations import MICROSECONDS, parse_instant
from components.ingest.sensor.features import sensor_windows
from components.ingest.sensor.source import SensorSource
from serving.online.sensor_rows import SensorReader

HOUR, DAY = MICROSECONDS["h"], MICROSECONDS["d"]
BEGIN = parse_instant("2025-03-01")
END = BEGIN + 16 * DAY


def iso(moment):
    when = datetime.datetime.fromtimestamp(moment / 1e6, datetime.timezone.utc)
    return when.isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module", params=["wide", "long"])
def source(request, tmp_path_factory):
    """Three machines in daily files: one stuck for six days, one silent for five, late readings."""
    folder = tmp_path_factory.mktemp(request.param)
    generator = np.random.default_rng(5)
    for day in range(16):
        rows = []
        for moment in range(BEGIN + day * DAY, BEGIN + (day + 1) * DAY, HOUR // 2):
            for machine in ("m1", "m2", "m3"):
                if machine == "m2" and 4 <= day < 9:
                    continue
                heat = round(float(generator.normal(20, 3)), 2)
                if machine == "m1" and 3 <= day < 9:
                    heat = 17.0
                late = 3 * HOUR if generator.random() < 0.05 else HOUR // 60
                pump = round(float(generator.normal(5, 1)), 2)
                rows.append((machine, iso(moment), iso(moment + late), heat, pump))
        lines = ["machine,ts,received,heat,pump"]
        if request.param == "wide":
            lines += [",".join(map(str, row)) for row in rows]
        else:
            lines = ["machine,ts,received,what,number"]
            lines += [f"{m},{t},{r},heat,{h}\n{m},{t},{r},pump,{p}" for m, t, r, h, p in rows]
        (folder / f"{day:02d}.csv").write_text("\n".join(lines) + "\n")
    layout = {"layout": "long", "channel": "what", "value": "number"}
    return SensorSource.model_validate(
        {
            "kind": "sensor",
            "path": f"{folder}/*.csv",
            "entity": "machine",
            "time": {"column": "ts", "received_at": "received"},
            "interval": "30m",
            "channels": {"heat": {"stuck": "2h"}, "pump": {}},
            "windows": [
                {"size": "3h", "every": "1h", "aggregate": ["mean", "last", "missing"]},
                {"size": "12h", "every": "6h", "aggregate": ["max", "count"]},
            ],
            "fill": "3h",
            "tolerance": "6h",
        }
        | (layout if request.param == "long" else {})
    )


def test_windows_that_can_be_joined_are_those_of_the_whole_source(source, tmp_path):
    whole = sensor_windows("plant", source, BEGIN, END).tables
    reader = SensorReader("plant", source, tmp_path)
    compared = 0
    for machine in ("m1", "m2", "m3"):
        for moment in range(BEGIN + DAY, END, 7 * HOUR):
            found = reader.tables([machine], moment, moment, END)
            assert set(found) == set(whole)
            for split, table in found.items():
                compared += assert_same(whole[split], table, machine, moment)
    assert compared > 500


def assert_same(whole, table, machine, moment):
    """Every row that is not older than the tolerance, nor later than the observation."""

    def visible(rows):
        times = np.asarray(rows["time"])
        mine = np.asarray([name == machine for name in rows["machine"].to_pylist()], bool)
        wanted = mine & (times <= moment) & (times >= moment - 6 * HOUR)
        return rows.filter(pa.array(wanted))

    wanted, got = visible(whole).to_pydict(), visible(table).to_pydict()
    for name, column in wanted.items():
        assert stored(got[name]) == stored(column), (machine, moment, name)
    return len(wanted["time"])


def stored(column):
    """Values as Examples hold them."""
    return [np.float32(value) if isinstance(value, float) else value for value in column]


def test_few_files_are_read(source, tmp_path, monkeypatch):
    reader = SensorReader("plant", source, tmp_path)
    moment = BEGIN + 12 * DAY
    reader.tables(["m3"], moment, moment, END)
    read = []
    real = SensorReader.tables.__globals__["_readings"]
    monkeypatch.setattr(
        "serving.online.sensor_rows._readings",
        lambda job, path, wanted: read.append(path) or real(job, path, wanted),
    )
    reader.tables(["m3"], moment, moment, END)
    assert 2 <= len(read) <= 5


def test_a_file_that_grows_is_read_anew(source, tmp_path):
    import shutil

    folder = tmp_path / "files"
    shutil.copytree(source.path.removesuffix("/*.csv"), folder)
    own = source.model_copy(update={"path": f"{folder}/*.csv"})
    reader = SensorReader("plant", own, tmp_path / "index")
    moment = END + HOUR
    before = reader.tables(["m3"], moment, moment, END + DAY)["every_1h"].to_pylist()[-1]
    with (folder / "15.csv").open("a") as file:
        if own.layout == "long":
            file.write(f"m3,{iso(END + HOUR // 2)},{iso(END + HOUR // 2)},heat,99.0\n")
        else:
            file.write(f"m3,{iso(END + HOUR // 2)},{iso(END + HOUR // 2)},99.0,5.0\n")
    after = reader.tables(["m3"], moment, moment, END + DAY)["every_1h"].to_pylist()[-1]
    assert before["heat_last_3h"] != 99.0
    assert after["heat_last_3h"] == 99.0
