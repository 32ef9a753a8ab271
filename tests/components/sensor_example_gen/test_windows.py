"""Windows and what becomes of each reading, against the slow reference."""

import json
import math
import pathlib
import random
import tempfile

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies

from components.ingest.sensor.features import sensor_windows

MINUTE, HOUR = 60_000_000, 3_600_000_000
ALL = ["count", "sum", "mean", "std", "min", "max", "first", "last", "slope", "age", "missing"]

SETTINGS = {
    "channels": {
        "temperature": {"range": [-40, 200], "stuck": "2h"},
        "pressure": {"interval": "10m"},
    },
    "interval": "20m",
    "windows": [
        {"size": "3h", "every": "1h", "aggregate": ALL},
        {"size": "1h", "aggregate": {"pressure": ["mean", "count"]}},
        {"size": "6h", "every": "2h", "aggregate": {"temperature": ["last", "slope"]}},
    ],
    "max_gap": "2h",
    "fill": "4h",
    "batch_rows": 7,
}


def plant_rows(begin, seed, count=400, entities=("m1", "m2", "m3"), late=False):
    """Readings with holes, copies, stuck stretches and values out of range."""
    random_ = random.Random(seed)
    rows = []
    for _ in range(count):
        time = begin + random_.randrange(-12 * HOUR, 36 * HOUR, 5 * MINUTE)
        row = {"machine": random_.choice(entities), "ts": time}
        if random_.random() < 0.9:
            row["temperature"] = random_.choice([20.5, 20.5, 21.25, 999.0, 60 * random_.random()])
        if random_.random() < 0.8:
            row["pressure"] = random_.choice([1e6 + random_.random(), -3, None])
        if late:
            delay = random_.choice([5_000_000, 5_000_000, 40 * MINUTE, 5 * HOUR, -20 * MINUTE])
            row["received"] = time + delay
        rows.append(row)
    return rows


def as_written(rows, iso):
    return [
        {k: iso(v) if k in ("ts", "received") and v is not None else v for k, v in row.items()}
        for row in rows
    ]


@pytest.mark.parametrize("keep", ["first", "last"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("fill", [None, "4h", "30m"])
def test_windows_are_those_of_the_reference(run, plain, keep, late, fill):
    rows = plant_rows(plain.begin, seed=2 * (keep == "last") + late, late=late)
    settings = SETTINGS | {"keep": keep, "fill": fill}
    if late:
        settings |= {"time": {"column": "ts", "received_at": "received"}, "max_lateness": "3h"}
    result = run(as_written(rows, plain.iso), **settings)
    source = plain.make_source("x", **settings)
    plain.check_against_reference(result, rows, source, plain.begin, plain.end)
    reasons = set(result.report["rejected"])
    assert reasons >= {"out_of_range", "duplicate"} | ({"late", "future"} if late else set())


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_threads_change_nothing(form, plain, tmp_path, monkeypatch):
    for number in range(3):
        lines = ["machine,ts,temperature,pressure"] if form == "csv" else []
        for row in as_written(plant_rows(plain.begin, seed=number, count=3000), plain.iso):
            values = [row.get(name) for name in ("machine", "ts", "temperature", "pressure")]
            texts = ["" if value is None else str(value) for value in values]
            lines.append(",".join(texts) if form == "csv" else json.dumps(row))
        # Broken lines, empty ones, and a block in which Arrow refuses a number.
        lines[700::701] = [('m1,"2025' if form == "csv" else "{"), ""] * 2
        lines[2000] = lines[2000].replace("2025", "202x")
        lines[2001] = "m1,2025-03-01T06:00:00Z,warm,1" if form == "csv" else '{"machine": "m1"}'
        (tmp_path / f"{number}.{form}").write_text("\n".join(lines) + "\n")
    source = plain.make_source(tmp_path / f"*.{form}", **SETTINGS)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(pa, "cpu_count", lambda cores=cores: cores)
        found.append(sensor_windows("t", source, plain.begin, plain.end, bucket_bytes=1 << 16))
    alone, together = found
    assert alone.report["readings"]["rejected"] > 500
    assert {"malformed", "bad_time"} <= set(alone.report["rejected"])
    assert together.report == alone.report
    assert together.quarantine.equals(alone.quarantine)
    assert together.tables == alone.tables


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    readings=strategies.lists(
        strategies.tuples(
            strategies.integers(0, 2),
            strategies.integers(-40, 90),
            strategies.one_of(
                strategies.none(),
                strategies.sampled_from([1.0, 2.0, 500.0, math.nan, math.inf]),
                strategies.floats(-1e6, 1e6),
            ),
            strategies.integers(-3, 30),
        ),
        min_size=1,
        max_size=60,
    ),
    keep=strategies.sampled_from(["first", "last"]),
    fill=strategies.sampled_from([None, "1h", "5h"]),
    lateness=strategies.sampled_from([None, "2h"]),
    size=strategies.sampled_from(["20m", "1h", "150m"]),
    buckets=strategies.booleans(),
)
def test_any_readings_are_windowed_and_accounted_for(
    plain, readings, keep, fill, lateness, size, buckets
):
    rows = [
        {
            "machine": entity,
            "ts": plain.begin + step * 20 * MINUTE,
            "received": plain.begin + (step * 20 + delay * 10) * MINUTE,
            "temperature": value,
            "pressure": None if value is None else value + entity,
        }
        for entity, step, value, delay in readings
    ]
    settings = {
        "channels": {"temperature": {"range": [-1000, 400], "stuck": "1h"}, "pressure": {}},
        "time": {"column": "ts", "received_at": "received"},
        "windows": [{"size": size, "every": "30m", "aggregate": ALL[:-1]}],
        "keep": keep,
        "fill": fill,
        "max_lateness": lateness,
        "batch_rows": 5,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.jsonl"
        plain.write_jsonl(path, as_written(rows, plain.iso))
        source = plain.make_source(path, **settings)
        result = sensor_windows(
            "telemetry", source, plain.begin, plain.end, 64 if buckets else 1 << 25
        )
    plain.check_against_reference(result, rows, source, plain.begin, plain.end)


def test_temporary_files_change_nothing(run, plain):
    rows = as_written(plant_rows(plain.begin, 5, 3000, [f"m{i}" for i in range(40)]), plain.iso)
    rows[7:7] = ["{broken", "[]", ""]
    whole = run(rows, **SETTINGS)
    spilled = run(rows, bucket_bytes=10_000, **SETTINGS)
    assert set(whole.tables) == {"every_1h", "every_2h"}
    for split, table in whole.tables.items():
        other = spilled.tables[split]
        assert table.select(["machine", "time", "known_at"]).equals(
            other.select(["machine", "time", "known_at"])
        )
        # Sums are folded in an order that depends on the neighbours: equal but for rounding.
        for name in table.column_names[3:]:
            np.testing.assert_allclose(
                table[name].to_numpy(), other[name].to_numpy(), rtol=1e-12, atol=1e-12
            )
    order = [(name, "ascending") for name in ("line", "reason", "channel")]
    assert whole.quarantine.sort_by(order).equals(spilled.quarantine.sort_by(order))
    assert whole.report == spilled.report


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl.gz", "parquet"])
def test_formats_are_read_alike(plain, tmp_path, form):
    rows = plant_rows(plain.begin, 9, 500)
    written = as_written(rows, plain.iso)
    plain.write_jsonl(tmp_path / "a.jsonl", written)
    table = pa.table(
        {k: [row.get(k) for row in written] for k in ("machine", "ts", "temperature", "pressure")}
    )
    path = tmp_path / "b" / f"a.{form}"
    path.parent.mkdir()
    if form == "parquet":
        time = pa.array([row["ts"] for row in rows], pa.timestamp("us", "UTC"))
        pq.write_table(table.set_column(1, "ts", time), path, row_group_size=64)
    else:
        import csv
        import gzip

        opened = gzip.open(path, "wt") if form.endswith("gz") else path.open("w")  # noqa: SIM115
        with opened as file:
            if form.startswith("csv"):
                writer = csv.writer(file)
                writer.writerow(table.column_names)
                writer.writerows(
                    ["" if v is None else v for v in row.values()] for row in table.to_pylist()
                )
            else:
                file.writelines(json.dumps(row) + "\n" for row in written)
    found = [
        sensor_windows("t", plain.make_source(folder, **SETTINGS), plain.begin, plain.end, 1 << 25)
        for folder in (tmp_path / "*.jsonl", tmp_path / "b" / "*")
    ]
    assert found[0].tables["every_1h"].num_rows > 50
    for split, table in found[0].tables.items():
        assert table.equals(found[1].tables[split])
    assert found[0].report["readings"] == found[1].report["readings"]


def test_long_files_give_what_wide_ones_give(plain, tmp_path):
    rows = plant_rows(plain.begin, 11, 500)
    plain.write_jsonl(tmp_path / "wide.jsonl", as_written(rows, plain.iso))
    long = [
        {"machine": row["machine"], "ts": row["ts"], "what": column, "v": row.get(name)}
        for row in as_written(rows, plain.iso)
        for name, column in (("temperature", "T1"), ("pressure", "pressure"), ("x", "humidity"))
    ]
    plain.write_jsonl(tmp_path / "long.jsonl", long)
    channels = SETTINGS["channels"]
    wide = sensor_windows(
        "t", plain.make_source(tmp_path / "wide.jsonl", **SETTINGS), plain.begin, plain.end
    )
    result = sensor_windows(
        "t",
        plain.make_source(
            tmp_path / "long.jsonl",
            **SETTINGS
            | {
                "layout": "long",
                "channel": "what",
                "value": "v",
                "channels": channels | {"temperature": channels["temperature"] | {"column": "T1"}},
            },
        ),
        plain.begin,
        plain.end,
    )
    for split, table in wide.tables.items():
        assert table.equals(result.tables[split])
    assert result.report["readings"]["ignored"] == 500
    for outcome in ("used", "missing", "outside", "rejected"):
        assert result.report["readings"][outcome] == wide.report["readings"][outcome]
    plain.check_identity(result)


def test_a_fill_repeats_the_last_value_only_while_it_is_fresh(run, plain):
    row = {"machine": 1, "ts": plain.iso(plain.begin + 30 * MINUTE), "temperature": 5.0}
    result = run(
        [row],
        channels={"temperature": {}},
        windows=[{"size": "1h", "aggregate": ["last", "count"]}],
        fill="150m",
    )
    table = result.tables["every_1h"].to_pylist()
    assert [(r["temperature_last_1h"], r["temperature_count_1h"]) for r in table] == [
        (5.0, 1.0),
        (5.0, 0.0),
        (5.0, 0.0),
    ]


def test_a_repeated_value_is_known_when_it_was_received(run, plain):
    received = plain.begin + 200 * MINUTE
    row = {"machine": 1, "ts": plain.begin + 30 * MINUTE, "received": received, "temperature": 5.0}
    result = run(
        as_written([row], plain.iso),
        time={"column": "ts", "received_at": "received"},
        channels={"temperature": {}},
        windows=[{"size": "1h", "aggregate": ["last"]}],
        fill="4h",
    )
    known = result.tables["every_1h"]["known_at"].to_pylist()
    assert known == [received, received, received, plain.begin + 4 * HOUR]


def test_gaps_are_reported(run, plain):
    rows = [
        {"machine": m, "ts": plain.iso(plain.begin + minutes * MINUTE), "temperature": 1.0}
        for m, times in ((1, (0, 60, 240, 300)), (2, (0, 150, 600)))
        for minutes in times
    ]
    gaps = run(rows, max_gap="2h", channels={"temperature": {}}).report["gaps"]
    assert gaps["by_channel"] == {"temperature": {"count": 3, "longest": "7.50h"}}
    assert [(g["entity"], g["length"]) for g in gaps["longest"]] == [
        (2, "7.50h"),
        (1, "3.00h"),
        (2, "2.50h"),
    ]
    assert gaps["longest"][1]["begin"] == "2025-03-01T01:00:00Z"


def test_nothing_later_than_the_end_is_used(run, plain):
    rows = [
        {"machine": 1, "ts": plain.end - HOUR, "received": plain.end - HOUR, "temperature": 1.0},
        {"machine": 1, "ts": plain.end - HOUR + 1, "received": plain.end + 1, "temperature": 2.0},
        {"machine": 1, "ts": plain.end + 1, "received": plain.end + 1, "temperature": 3.0},
    ]
    result = run(
        as_written(rows, plain.iso),
        channels={"temperature": {}},
        time={"column": "ts", "received_at": "received"},
        windows=[{"size": "2h", "every": "1h", "aggregate": ["max", "count"]}],
    )
    table = result.tables["every_1h"]
    assert pc.max(table["time"]).as_py() == plain.end
    assert set(table["temperature_max_2h"].to_pylist()) == {1.0}
    assert result.report["readings"]["outside"] == 2


def test_the_plain_way_imports_neither_tensorflow_nor_tfx_nor_beam():
    import subprocess
    import sys

    program = (
        "import sys, components.ingest.sensor.features; "
        "print([m for m in ('tensorflow', 'tfx', 'apache_beam', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
