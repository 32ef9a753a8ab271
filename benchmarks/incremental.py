"""Measures ExampleGens that read what is new: the first run, and reruns after what happens to data.

Each run is a process of its own, forked after TFX was imported: it calls the component's executor,
on Beam's FnApiRunner. Beside each stands a run over the same data that reads all of them.

Run ``python -m benchmarks.incremental``; ``--rows 50000`` for a quick look. Results go to
``benchmarks/results/incremental.json`` and ``.md``.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.sql_ingest import beam_arguments, make_sqlite

QUERY = "SELECT * FROM observations WHERE observed_at >= :begin AND observed_at < :end"
STATE = QUERY.replace("*", "COUNT(*), MAX(rowid)")
BEGIN = "2020-01-01"
ROWS_PER_DAY = 2400
MACHINES, CHANNELS = 50, ("temperature", "vibration", "pressure", "rotation")
WHOLE, KEPT = "all", "new or changed"

Change = Callable[[], None]


def sql_source(folder: Path) -> dict[str, Any]:
    return {
        "kind": "sql",
        "url": f"sqlite:///{folder}/plant.db",
        "query": QUERY,
        "entity": "machine_id",
        "time": "observed_at",
        "incremental": {"watermark": STATE, "directory": f"{folder}/days"},
    }


def sensor_source(folder: Path) -> dict[str, Any]:
    return {
        "kind": "sensor",
        "path": f"{folder}/telemetry/*.jsonl",
        "entity": "machine_id",
        "time": {"column": "ts"},
        "channels": {name: {"range": [-10, 10]} for name in CHANNELS},
        "windows": [{"size": "3h", "every": "1h", "aggregate": ["mean", "std", "max", "last"]}],
        "incremental": {"directory": f"{folder}/days"},
    }


def write_readings(folder: Path, day: int, seed: int = 0) -> None:
    """A day's file: a reading of each machine every 15 minutes."""
    random = np.random.default_rng((day, seed))
    begin = np.datetime64(BEGIN, "s") + np.timedelta64(day, "D")
    lines = []
    for moment in begin + np.arange(96) * np.timedelta64(15, "m"):
        values = random.normal(size=(MACHINES, len(CHANNELS))).round(4).tolist()
        for machine, row in enumerate(values):
            told = {
                "machine_id": machine,
                "ts": f"{moment}Z",
                **dict(zip(CHANNELS, row, strict=True)),
            }
            lines.append(json.dumps(told))
    path = folder / "telemetry" / f"{day:05d}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def run_here(source: dict[str, Any], folder: str, as_of: str, window: str) -> dict[str, Any]:
    """One run of the source's executor."""
    from tfx.types import standard_artifacts

    from components.ingest.artifacts import QualityReport, Quarantine
    from components.ingest.kinds import source_from_json
    from components.sensor_example_gen.executor import Executor as SensorExecutor
    from components.sql_example_gen.executor import Executor as SqlExecutor

    kinds: dict[str, Any] = {"sql": SqlExecutor, "sensor": SensorExecutor}
    outputs = {
        "examples": standard_artifacts.Examples(),
        "report": QualityReport(),
        "quarantine": Quarantine(),
    }
    for name, artifact in outputs.items():
        artifact.uri = f"{folder}/{name}"
    kind = kinds[source["kind"]]
    executor = kind(kind.Context(beam_pipeline_args=beam_arguments(1)))
    told = {
        "name": "observations",
        "source": source_from_json(json.dumps(source)).model_dump_json(),
        "as_of": as_of,
        "split": json.dumps({"by": "entity", "window": window, "eval": 0.2}),
        "horizon": "0s",
        "spine": 1,
    }
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    executor.Do({}, {name: [artifact] for name, artifact in outputs.items()}, told)
    used = resource.getrusage(resource.RUSAGE_SELF)
    content = json.loads(Path(f"{folder}/report/report.json").read_text())
    spans = content.get("spans", {})
    return {
        "read": spans.get("read"),
        "spans": spans.get("read", 0) + spans.get("reused", 0),
        "result": content["rows"] if "rows" in content else content["readings"],
        "seconds": round(time.perf_counter() - begun, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_mb": used.ru_maxrss >> 10,
    }


def measure(source: dict[str, Any], folder: Path, as_of: str, window: str) -> dict[str, Any]:
    """Runs it in a process forked after TFX was imported, which takes longer than the runs."""
    fork = multiprocessing.get_context("fork")
    with (
        tempfile.TemporaryDirectory(dir=folder) as output,
        concurrent.futures.ProcessPoolExecutor(1, fork) as process,
    ):
        return process.submit(run_here, source, output, as_of, window).result()


def of_rows(folder: Path, rows: int) -> tuple[int, dict[str, tuple[int, Change]]]:
    """Makes a table; how many days a window has, and what happens between runs at which end."""
    make_sqlite(folder / "plant.db", rows)
    length = rows // ROWS_PER_DAY - 1

    def change(statement: str) -> None:
        connection = sqlite3.connect(folder / "plant.db")
        with connection:
            connection.execute(statement)
        connection.close()

    change("CREATE INDEX by_time ON observations (observed_at)")
    late = np.datetime64(BEGIN) + length // 2
    row = f"INSERT INTO observations VALUES (1, '{late} 12:00:00', 1, 1, 1, 1, 'a', 'b')"
    gone = f"DELETE FROM observations WHERE observed_at LIKE '{late}%'"
    return length, {
        "the first run": (length, lambda: None),
        "nothing new": (length, lambda: None),
        "a new day": (length + 1, lambda: None),
        "a late row in an old day": (length + 1, lambda: change(row)),
        "an old day deleted": (length + 1, lambda: change(gone)),
    }


def of_readings(folder: Path, readings: int) -> tuple[int, dict[str, tuple[int, Change]]]:
    """As ``of_rows``, of files."""
    length = readings // (96 * MACHINES * len(CHANNELS))
    for day in range(length):
        write_readings(folder, day)
    return length, {
        "the first run": (length, lambda: None),
        "nothing new": (length, lambda: None),
        "a new file": (length + 1, lambda: write_readings(folder, length)),
        "an old file changed": (length + 1, lambda: write_readings(folder, length // 2, 1)),
    }


def compare(rows: int) -> dict[str, Any]:
    """What happens between runs, and what a run that reads what is new and a whole one cost."""
    import tfx.components  # noqa: F401

    runs = []
    for make, source_of in ((of_rows, sql_source), (of_readings, sensor_source)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            length, happenings = make(folder, rows)
            source = source_of(folder)
            for what, (end, change) in happenings.items():
                change()
                as_of = str(np.datetime64(BEGIN) + end)
                of_both = [
                    {"source": source["kind"], "happened": what, "reads": how}
                    | measure(read, folder, as_of, f"{length}d")
                    for how, read in ((WHOLE, source | {"incremental": None}), (KEPT, source))
                ]
                if of_both[0]["result"] != of_both[1]["result"]:
                    raise RuntimeError(f"not the same: {of_both}")
                runs += of_both
    return {"machine": report.machine(), "rows": rows, "runs": runs}


def as_markdown(results: dict[str, Any]) -> str:
    kinds = {"sql": "SQLite, days", "sensor": "JSONL, files"}
    lines = [
        "| source | since the run before | reads | of them | CPU s | wall s | peak MB |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {kinds[r['source']]} | {r['happened']} | {r['reads']} "
        f"| {'all' if r['read'] is None else '{read} of {spans}'.format(**r)} "
        f"| {r['cpu_seconds']} | {r['seconds']} | {r['peak_mb']} |"
        for r in results["runs"]
    ]
    machine = results["machine"]
    lines += [
        "",
        f"{results['rows']:,} rows with an index on the time, and as many readings. Each pair gave "
        "the same numbers.",
        f"{machine['cores']} cores, {machine['platform']}, Python {machine['python']}. Seconds are "
        "the executor's, without imports.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows, and readings")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    options = parser.parse_args()
    results = compare(options.rows)
    report.write(options.output, "incremental", results, as_markdown(results))


if __name__ == "__main__":
    main()
