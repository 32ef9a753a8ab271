"""Measures the way from sensor files to window features against plain pandas, on one core.

Both read the same files, take out values out of range and readings told twice, and compute the
same aggregates of windows of three hours that end every hour; their results are compared. The
pandas way is the fast one: hourly parts by ``groupby``, put together by ``rolling`` over three of
them, and not a window over each reading.

Each measurement is a process of its own, pinned to one core, timed without imports; the best of
some runs counts. Files are read before the clock starts, so that both find them in memory. Seconds
are the core's (CPU time), which other work on the machine disturbs least; those on the wall stand
beside them.

Run ``python -m benchmarks.sensor_windows``; ``--readings 200000`` for a quick look. Results go to
``benchmarks/results/sensor_windows.json`` and ``.md``.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

RESULTS = Path(__file__).parent / "results"
CHANNELS = {"temperature": (60.0, 5.0), "vibration": (1.0, 0.1), "pressure": (5.0, 0.4)}
RANGES = {"temperature": (40.0, 80.0), "vibration": (0.5, 1.5), "pressure": (3.0, 7.0)}
AGGREGATES = ("count", "mean", "std", "min", "max", "last")
FORMATS = ("csv", "jsonl", "parquet")
WAYS = ("sensor_windows", "pandas")
MACHINES = 50
FILES = 4
_BEGIN = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)
_BEGIN_US = int(_BEGIN.timestamp()) * 1_000_000
_HOUR = 3_600_000_000


def write_files(folder: Path, form: str, readings: int) -> None:
    """Writes files of all machines, a stretch of time each, one reading a minute and machine."""
    import pyarrow.csv
    import pyarrow.parquet

    random = np.random.default_rng(1)
    rows = readings // len(CHANNELS)
    for number, place in enumerate(np.array_split(np.arange(rows), FILES)):
        # Sent about in order, some twice.
        second = place // MACHINES * 60 + random.integers(0, 60, len(place))
        again = random.integers(0, len(place), len(place) // 200)
        pick = np.sort(np.concatenate([np.arange(len(place)), again]))
        columns: dict[str, Any] = {
            "machine_id": place[pick] % MACHINES,
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
            values[1] = [f'"{text}Z"' for text in texts]
            form_line = "{{" + ", ".join(f'"{n}": {{}}' for n in names) + "}}\n"
            with path.open("w") as file:
                file.writelines(map(form_line.format, *values))


def by_sensor_windows(folder: str, form: str) -> dict[str, np.ndarray]:
    """The repository's way."""
    from components.ingest.sensor.features import sensor_windows
    from components.ingest.sources import SensorSource

    source = SensorSource.model_validate(
        {
            "kind": "sensor",
            "path": f"{folder}/*.{form}",
            "entity": "machine_id",
            "time": {"column": "ts"},
            "channels": {name: {"range": bounds} for name, bounds in RANGES.items()},
            "windows": [{"size": "3h", "every": "1h", "aggregate": list(AGGREGATES)}],
        }
    )
    end = _BEGIN_US + 3650 * 24 * _HOUR
    table = sensor_windows("telemetry", source, _BEGIN_US, end).tables["every_1h"]
    return {name: table[name].to_numpy() for name in table.column_names if name != "known_at"}


def by_pandas(folder: str, form: str) -> dict[str, np.ndarray]:
    """Plain pandas."""
    import pandas as pd

    readers = {
        "csv": lambda path: pd.read_csv(path, parse_dates=["ts"]),
        "jsonl": lambda path: pd.read_json(path, lines=True, convert_dates=["ts"]),
        "parquet": pd.read_parquet,
    }
    files = sorted(Path(folder).glob(f"*.{form}"))
    frame = pd.concat([readers[form](path) for path in files], ignore_index=True)
    frame["ts"] = pd.to_datetime(frame["ts"], utc=True)
    frame = frame.drop_duplicates(["machine_id", "ts"], keep="first")
    for name, (low, high) in RANGES.items():
        frame[name] = frame[name].where(frame[name].between(low, high))
    frame = frame.sort_values(["machine_id", "ts"])
    frame["end"] = frame["ts"].dt.ceil("1h")
    names = list(CHANNELS)
    # Squares about the mean of all, so that little is lost when they are subtracted.
    middle = frame[names].mean()
    squares = ((frame[names] - middle) ** 2).add_suffix("_squares")
    hours = pd.concat([frame, squares], axis=1).groupby(["machine_id", "end"])
    parts = hours[names].agg(["count", "sum", "min", "max", "last"])
    parts.columns = pd.Index(["_".join(column) for column in parts.columns])
    parts = parts.join(hours[[f"{name}_squares" for name in names]].sum())
    spans = frame.groupby("machine_id")["ts"].agg(["min", "max"])
    grid = [
        pd.MultiIndex.from_product(
            [
                [machine],
                pd.date_range(first.ceil("1h"), (last + pd.Timedelta("3h")).floor("1h"), freq="1h"),
            ]
        )
        for machine, first, last in zip(spans.index, spans["min"], spans["max"], strict=True)
    ]
    index = grid[0].append(grid[1:])
    parts = parts.reindex(index)
    added = [c for c in map(str, parts) if c.endswith(("_count", "_sum", "_squares"))]
    parts[added] = parts[added].fillna(0)
    rolled = parts.groupby(level=0, group_keys=False).rolling(3, min_periods=1)
    sums = rolled[added].sum()
    lows = rolled[[f"{n}_min" for n in names]].min()
    highs = rolled[[f"{n}_max" for n in names]].max()
    lasts = parts[[f"{n}_last" for n in names]].groupby(level=0).ffill(limit=2)
    result = {
        "machine_id": index.get_level_values(0).to_numpy(),
        "time": index.get_level_values(1)
        .tz_localize(None)
        .to_numpy()
        .astype("M8[us]")
        .astype(np.int64),
    }
    for name in names:
        count = sums[f"{name}_count"].round().to_numpy()
        filled = np.where(count > 0, count, np.nan)
        mean = sums[f"{name}_sum"].to_numpy() / filled
        away = sums[f"{name}_squares"].to_numpy() - filled * (mean - middle[name]) ** 2
        several = np.where(count > 1, count - 1, np.nan)
        result[f"{name}_count_3h"] = count
        result[f"{name}_mean_3h"] = mean
        result[f"{name}_std_3h"] = np.sqrt(np.maximum(away, 0) / several)
        result[f"{name}_min_3h"] = lows[f"{name}_min"].to_numpy()
        result[f"{name}_max_3h"] = highs[f"{name}_max"].to_numpy()
        result[f"{name}_last_3h"] = lasts[f"{name}_last"].to_numpy()
    return result


def measure(way: str, folder: str, form: str, runs: int, out: str) -> dict[str, float]:
    """Runs one way in this process, on one core; writes its features to ``out``."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    pa.set_cpu_count(1)
    for path in Path(folder).glob(f"*.{form}"):
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    function = by_sensor_windows if way == "sensor_windows" else by_pandas
    # The first run also imports; it isn't counted.
    function(folder, form) if runs > 1 else None
    seconds, wall = [], []
    for _ in range(max(runs - 1, 1)):
        begin, began = time.process_time(), time.perf_counter()
        features = function(folder, form)
        seconds.append(time.process_time() - begin)
        wall.append(time.perf_counter() - began)
    np.savez(out, **features)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": min(seconds), "wall_seconds": min(wall), "peak_bytes": peak}


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
    """Measures both ways on each format."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--readings", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=4, help="the first is not counted")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, folder, form, out = options.measure
        print(json.dumps(measure(way, folder, form, options.runs, out)))
        return
    results: dict[str, Any] = {
        "readings": options.readings,
        "machine": {"python": platform.python_version(), "processor": _processor()},
        "formats": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for form in options.formats:
            write_files(Path(folder), form, options.readings)
            found: dict[str, Any] = {}
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.sensor_windows"]
                command += ["--runs", str(options.runs), "--measure", way, folder, form]
                done = subprocess.run(
                    [*command, f"{folder}/{way}.npz"], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    sys.exit(done.stderr)
                found[way] = json.loads(done.stdout.splitlines()[-1])
                found[way]["readings_per_second"] = options.readings / found[way]["seconds"]
            found["times_faster"] = found["pandas"]["seconds"] / found["sensor_windows"]["seconds"]
            found["largest_relative_difference"] = differences(
                *(f"{folder}/{way}.npz" for way in WAYS)
            )
            results["formats"][form] = found
            print(f"{form}: {found['times_faster']:.1f} times as fast as pandas", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "sensor_windows.json").write_text(json.dumps(results, indent=2) + "\n")
    (options.output / "sensor_windows.md").write_text(_table(results))
    print(_table(results))


def _table(results: dict[str, Any]) -> str:
    lines = [
        f"Sensor files to window features, {results['readings']:,} readings, one core "
        f"({results['machine']['processor']}).",
        "",
        "| format | ours, readings/s | pandas, readings/s | times as fast | on the wall "
        "| ours, peak | pandas, peak |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for form, found in results["formats"].items():
        ours, theirs = found["sensor_windows"], found["pandas"]
        lines.append(
            f"| {form} | {ours['readings_per_second']:,.0f} | {theirs['readings_per_second']:,.0f} "
            f"| {found['times_faster']:.1f} "
            f"| {theirs['wall_seconds'] / ours['wall_seconds']:.1f} "
            f"| {ours['peak_bytes'] / 2**20:,.0f} MiB "
            f"| {theirs['peak_bytes'] / 2**20:,.0f} MiB |"
        )
    return "\n".join(lines) + "\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
