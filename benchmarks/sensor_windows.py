"""Measures the way from sensor files to window features against pandas, Polars and DuckDB.

All read the same files, set a gateway's clock right, take out values out of range and readings
told twice, and compute the same aggregates of windows of three hours that end every hour; their
results are compared. How the others do it stands in ``benchmarks/sensor_peers.py``. The way to
readings in memory, with right times and values in range, is measured by itself, too. Files are read
before the clock starts, so that all find them in memory.

Ours does more: lines are checked and numbered, what is left out is told apart by reason, counted by
file and channel and kept as quarantine, and files larger than memory go through buckets on disk.

Run ``python -m benchmarks.sensor_windows``; ``--readings 200000`` for a quick look. Results go to
``benchmarks/results/sensor_windows.json`` and ``.md``.
"""

import argparse
import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import report, sensor_peers, turns

CHANNELS = {"temperature": (60.0, 5.0), "vibration": (1.0, 0.1), "pressure": (5.0, 0.4)}
RANGES = {"temperature": (40.0, 80.0), "vibration": (0.5, 1.5), "pressure": (3.0, 7.0)}
AGGREGATES = ("count", "mean", "std", "min", "max", "last")
FORMATS = ("csv", "jsonl", "parquet")
MACHINES = 50
FILES = 4
RUNS = 3
_BEGIN = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)
_BEGIN_US = int(_BEGIN.timestamp()) * 1_000_000
_HOUR = 3_600_000_000
_END_US = _BEGIN_US + 3650 * 24 * _HOUR


def write_files(folder: Path, form: str, readings: int) -> None:
    """Writes files of all machines, a stretch of time each, one reading a minute and machine."""
    import pyarrow.csv
    import pyarrow.parquet

    random = np.random.default_rng(1)
    rows = readings // len(CHANNELS)
    gateways = [f"gateway-{i}" for i in range(7)]
    for number, place in enumerate(np.array_split(np.arange(rows), FILES)):
        # Sent about in order, some twice.
        second = place // MACHINES * 60 + random.integers(0, 60, len(place))
        again = random.integers(0, len(place), len(place) // 200)
        pick = np.sort(np.concatenate([np.arange(len(place)), again]))
        columns: dict[str, Any] = {
            "machine_id": place[pick] % MACHINES,
            "gateway": pa.array(gateways).take(pa.array(place[pick] % MACHINES % len(gateways))),
            "ts": pa.array((_BEGIN_US // 1_000_000 + second[pick]) * 1000, pa.timestamp("ms")),
        }
        for name, (mean, spread) in CHANNELS.items():
            columns[name] = random.normal(mean, spread, len(place)).round(4)[pick]
        table = pa.table(columns)
        path = folder / f"{number}.{form}"
        if form == "parquet":
            pyarrow.parquet.write_table(table, path)
        elif form == "csv":
            pyarrow.csv.write_csv(table, path)
        else:
            names = table.column_names
            texts = [str(t).replace(" ", "T") for t in table["ts"].to_pylist()]
            values = [table[name].to_pylist() for name in names]
            values[1] = [f'"{gateway}"' for gateway in values[1]]
            values[2] = [f'"{text}Z"' for text in texts]
            form_line = "{{" + ", ".join(f'"{n}": {{}}' for n in names) + "}}\n"
            with path.open("w") as file:
                file.writelines(map(form_line.format, *values))


def telemetry(folder: str, form: str) -> Any:
    """The source's settings."""
    from components.ingest.sensor.source import SensorSource

    return SensorSource.model_validate(
        {
            "kind": "sensor",
            "path": f"{folder}/*.{form}",
            "entity": "machine_id",
            "gateway": "gateway",
            "time": {
                "column": "ts",
                "offsets": {sensor_peers.WRONG_CLOCK: f"{sensor_peers.OFFSET // 1_000_000}s"},
            },
            "channels": {name: {"range": bounds} for name, bounds in RANGES.items()},
            "windows": [{"size": "3h", "every": "1h", "aggregate": list(AGGREGATES)}],
        }
    )


def by_sensor_windows(
    folder: str, form: str, ranges: sensor_peers.Ranges, threads: int
) -> sensor_peers.Features:
    """The repository's way."""
    from components.ingest.sensor.features import sensor_windows

    found = sensor_windows("telemetry", telemetry(folder, form), _BEGIN_US, _END_US)
    table = found.tables["every_1h"]
    return {name: table[name].to_numpy() for name in table.column_names if name != "known_at"}


def clean_readings(folder: str, form: str) -> list[pa.RecordBatch]:
    """The first half of the repository's way: readings in memory."""
    from components.ingest.sensor.features import clean_parts, prepare
    from components.ingest.sensor.tally import Tally

    job = prepare("telemetry", telemetry(folder, form), _BEGIN_US, _END_US)
    return list(clean_parts(job, job.parts, Tally(), lambda rejected: None))


WAYS = {
    "sensor_windows": by_sensor_windows,
    "pandas": sensor_peers.by_pandas,
    "polars": sensor_peers.by_polars,
    "duckdb": sensor_peers.by_duckdb,
}
READINGS = {
    "sensor_windows": lambda folder, form, threads: clean_readings(folder, form),
    "polars": lambda folder, form, threads: sensor_peers.polars_readings(
        folder, form, RANGES
    ).collect(),
    "duckdb": lambda folder, form, threads: sensor_peers.duckdb_readings(
        folder, form, RANGES, threads
    ),
}
"""The way to readings in memory; pandas goes it along with the rest."""


def measure(way: str, threads: int, folder: str, form: str, out: str) -> None:
    """Runs one way in this process; prints what it took, writes its features to ``out``."""
    turns.hold(threads)
    for path in Path(folder).glob(f"*.{form}"):
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    features, took = turns.timed(lambda: WAYS[way](folder, form, RANGES, threads), RUNS)
    if way in READINGS:
        _, first = turns.timed(lambda: READINGS[way](folder, form, threads), RUNS)
        took |= {f"readings_{name}": first[name] for name in ("seconds", "wall_seconds")}
    np.savez(out, **features)
    print(json.dumps(took))


def differences(first: str, second: str) -> float:
    """The largest relative difference of two results; raises AssertionError if they differ."""
    with np.load(first) as a, np.load(second) as b:
        assert sorted(a.files) == sorted(b.files)
        worst = 0.0
        for name in a.files:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-9, err_msg=name)
            x, y = a[name].astype(np.float64), b[name].astype(np.float64)
            apart = np.abs(x - y) / np.maximum(np.abs(y), 1e-9)
            worst = max(worst, float(np.nanmax(apart, initial=0)))
        return worst


def main() -> None:
    """Measures all ways on each format."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--readings", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="turns of all ways")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, threads, folder, form, out = options.measure
        measure(way, int(threads), folder, form, out)
        return
    results: dict[str, Any] = {
        "machine": report.machine(),
        "readings": options.readings,
        "formats": {},
    }
    rivals = [(way, t) for t in turns.THREADS for way in WAYS if (way, t) != ("pandas", 2)]
    with tempfile.TemporaryDirectory() as folder:
        for form in options.formats:
            write_files(Path(folder), form, options.readings)
            words = [
                (way, str(threads), folder, form, f"{folder}/{way}-{threads}.npz")
                for way, threads in rivals
            ]
            took = turns.take("benchmarks.sensor_windows", words, options.rounds)
            ours = f"{folder}/sensor_windows-1.npz"
            rows = [
                {"way": way, "threads": threads, **found, "apart": differences(word[-1], ours)}
                for (way, threads), found, word in zip(rivals, took, words, strict=True)
            ]
            results["formats"][form] = {
                "ways": rows,
                "against_faster": turns.against_faster(rows, "sensor_windows"),
            }
    report.write(options.output, "sensor_windows", results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    """The results as tables."""
    names = {"sensor_windows": "ours", "pandas": "pandas", "polars": "Polars", "duckdb": "DuckDB"}
    lines = [
        f"Sensor files to window features, {results['readings']:,} readings; all results agree.",
        "",
        "| format | threads | on the wall, ours is | by CPU, ours is |",
        "|---|---:|---|---|",
    ]
    for form, found in results["formats"].items():
        lines += [
            f"| {form} | {row['threads']} | {turns.compared(row['wall_seconds'], names)} "
            f"| {turns.compared(row['seconds'], names)} |"
            for row in found["against_faster"]
        ]
    lines += [
        "",
        "Seconds on the wall, and of CPU, to clean readings in memory and to the windows:",
        "",
        "| format | way | threads | to readings | CPU | to windows | CPU | readings/s | peak |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for form, found in results["formats"].items():
        for row in found["ways"]:
            first = ["", ""]
            if "readings_seconds" in row:
                first = [f"{row[f'readings_{n}']:.2f}" for n in ("wall_seconds", "seconds")]
            lines.append(
                f"| {form} | {names[row['way']]} | {row['threads']} | {first[0]} | {first[1]} "
                f"| {row['wall_seconds']:.2f} | {row['seconds']:.2f} "
                f"| {results['readings'] / row['wall_seconds']:,.0f} "
                f"| {row['peak_bytes'] / 2**20:,.0f} MiB |"
            )
    lines += ["", turns.said(results["machine"])]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
