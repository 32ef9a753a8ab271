"""Measures SqlExampleGen against its rivals and the floor on the same rows; its memory by size.

Each measurement is a process of its own, so that its peak memory is its own; rivals take turns. All
executors are called the same way, on Beam's FnApiRunner, and timed without TFX's import: wall time,
and CPU time of the process and its children, which tells more on a machine that is shared. Who the
rivals are stands in ``sql_rivals.py``. The slow ones get fewer rows, and SqlExampleGen as few
beside them.

Run ``python -m benchmarks.sql_ingest``; ``--rows 100000 500000 --slow-rows 20000`` for a quick
look. Results go to ``benchmarks/results/sql_ingest.json`` and ``.md``.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.sql_rivals import FLOORS, RIVALS
from benchmarks.sql_rows import make_csv, make_duckdb, make_sqlite
from components.ingest import examples, sql
from components.ingest.examples import split_files
from components.ingest.plan import FAR_FUTURE
from components.ingest.sources import SqlSource
from components.ingest.tfrecord import read_records

_WORKERS = 2
_RECORDS = "records.gz"
_DATABASES = ("sqlite", "duckdb")
_FAST = [("sqlite", 1), ("sqlite", _WORKERS), ("floor", 1), ("floor_tf", 1)]
_FAST += [("duckdb", 1), ("floor_duckdb", 1)]
_FLOOR_OF = [
    (("sqlite", 1), "floor"),
    (("sqlite", _WORKERS), "floor"),
    (("sqlite", 1), "floor_tf"),
    (("duckdb", 1), "floor_duckdb"),
]
_TIMES = ("seconds", "cpu_seconds")
_NAMES = {
    "sqlite": "SqlExampleGen, SQLite",
    "duckdb": "SqlExampleGen, DuckDB",
    "csv": "TFX's CsvExampleGen",
    "pandas": "pandas.read_sql, to_csv, CsvExampleGen",
    "presto": "TFX's PrestoExampleGen, its client reading SQLite",
    "floor": "the floor (ADBC, CRC-32C, ISA-L)",
    "floor_tf": "the floor with TensorFlow's writer",
    "floor_duckdb": "the floor from DuckDB",
}


def beam_arguments(workers: int) -> list[Any]:
    mode = "in_memory" if workers == 1 else "multi_processing"
    return [
        "--runner=FnApiRunner",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        "--sdk_container_image=local",
        "--no_pipeline_type_check",
    ]


def source_of(what: str, folder: Path, workers: int = 1) -> SqlSource:
    """The source that is read."""
    return SqlSource.model_validate(
        {
            "kind": "sql",
            "url": f"{what}:///{folder}/plant.{what}",
            "query": "SELECT * FROM observations WHERE observed_at >= :begin",
            "entity": "machine_id",
            "time": "observed_at",
            "partitions": {"column": "machine_id", "count": workers} if workers > 1 else None,
        }
    )


def make_records(folder: Path) -> None:
    """Writes the rows' records, which the floors write once more."""
    with examples.ShardWriter(str(folder / _RECORDS)) as writer:
        times = sql.Times(0, FAR_FUTURE, FAR_FUTURE)
        for batch in sql.read_source("observations", source_of("sqlite", folder), times):
            writer.write(batch)


def run_sql(what: str, folder: Path, output: str, workers: int) -> float:
    """Seconds of SqlExampleGen's executor."""
    from tfx.types import standard_artifacts

    from components.ingest.artifacts import QualityReport
    from components.sql_example_gen.executor import Executor

    written, told = standard_artifacts.Examples(), QualityReport()
    written.uri, told.uri = f"{output}/examples", f"{output}/report"
    executor = Executor(Executor.Context(beam_pipeline_args=beam_arguments(workers)))
    begun = time.perf_counter()
    executor.Do(
        {},
        {"examples": [written], "report": [told]},
        {
            "name": "observations",
            "source": source_of(what, folder, workers).model_dump_json(),
            "as_of": "2030-01-01",
            "split": '{"by": "time", "train": "3650d", "eval": "14d"}',
            "horizon": "0s",
            "spine": 1,
        },
    )
    return time.perf_counter() - begun


def count_examples(output: str) -> int:
    return sum(1 for _ in read_records(split_files(f"{output}/examples", "all")))


def measure(what: str, folder: Path, rows: int, workers: int = 1) -> dict[str, Any]:
    """Runs one measurement in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        command = [sys.executable, "-m", "benchmarks.sql_ingest", "--measure", what]
        command += [str(folder), output, str(workers)]
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}")
        told = json.loads(text.splitlines()[-1])
        found = count_examples(output)
    if found != rows:
        raise RuntimeError(f"{what} wrote {found} of {rows} rows")
    return {
        "what": what,
        "rows": rows,
        "workers": workers,
        "seconds": round(told["seconds"], 2),
        "cpu_seconds": round(told["cpu_seconds"], 2),
        "rows_per_second": round(rows / told["seconds"]),
        "peak_mb": round(used.ru_maxrss / 1024),
        "imported_mb": round(told["imported_kb"] / 1024),
    }


def measure_here(what: str, folder: Path, output: str, workers: int) -> None:
    """The measuring process's own part: prints seconds and memory as JSON."""
    import tfx.components  # noqa: F401

    records: Any = None
    if what in ("floor", "floor_duckdb"):
        records = gzip.decompress((folder / _RECORDS).read_bytes())
    elif what == "floor_tf":
        records = list(read_records([str(folder / _RECORDS)]))
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = _cpu_seconds()
    if what in _DATABASES:
        seconds = run_sql(what, folder, output, workers)
    elif what in FLOORS:
        seconds = FLOORS[what](folder, output, records)
    else:
        seconds = RIVALS[what](folder, output, beam_arguments(workers))
    used = _cpu_seconds() - begun
    print(json.dumps({"seconds": seconds, "cpu_seconds": used, "imported_kb": imported}))


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def compare(sizes: list[int], slow_rows: int, rounds: int) -> dict[str, Any]:
    """All measurements."""
    with tempfile.TemporaryDirectory() as root:
        folders = {size: Path(root, str(size)) for size in {*sizes, slow_rows}}
        for size, folder in folders.items():
            folder.mkdir()
            make_sqlite(folder / "plant.sqlite", size)
            make_csv(folder / "plant.csv", size)
        for size in sizes:
            make_duckdb(folders[size] / "plant.duckdb", folders[size] / "plant.csv")
            make_records(folders[size])
        fast = [
            measure(what, folders[size], size, workers)
            for size in sizes
            for _ in range(rounds)
            for what, workers in _FAST
        ]
        slow = [measure(what, folders[slow_rows], slow_rows) for what in ("sqlite", *RIVALS)]
    return {
        "machine": report.machine(),
        "slow": slow,
        "times_faster": {r["what"]: _times(r, slow[0]) for r in slow[1:]},
        "fast": fast,
        "share_of_floor": [
            {
                "what": what,
                "rows": size,
                "workers": workers,
                "floor": floor,
                **_times(_median(fast, size, floor), _median(fast, size, what, workers)),
            }
            for size in sizes
            for (what, workers), floor in _FLOOR_OF
        ],
        "memory_growth": round(_peak(fast, sizes[-1]) / _peak(fast, sizes[0]), 3),
    }


def _median(runs: list[dict[str, Any]], rows: int, what: str, workers: int = 1) -> dict[str, float]:
    wanted = (rows, what, workers)
    of = [run for run in runs if (run["rows"], run["what"], run["workers"]) == wanted]
    return {key: float(np.median([run[key] for run in of])) for key in _TIMES}


def _peak(runs: list[dict[str, Any]], rows: int) -> int:
    """SqlExampleGen's peak memory, MB."""
    wanted = (rows, *_FAST[0])
    return max(r["peak_mb"] for r in runs if (r["rows"], r["what"], r["workers"]) == wanted)


def _times(these: dict[str, Any], those: dict[str, Any]) -> dict[str, float]:
    """How many times as long these took as those did."""
    return {key: round(these[key] / those[key], 2) for key in _TIMES}


def as_markdown(results: dict[str, Any]) -> str:
    """The results as tables and sentences."""
    lines = [
        "| what | rows | workers | seconds | CPU s | rows/s | peak MB | of it before |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {_NAMES[r['what']]} | {r['rows']:,} | {r['workers']} | {r['seconds']} "
        f"| {r['cpu_seconds']} | {r['rows_per_second']:,} | {r['peak_mb']} | {r['imported_mb']} |"
        for r in [*results["slow"], *results["fast"]]
    ]
    lines.append("")
    lines += [
        f"- SqlExampleGen is {times['seconds']} times as fast as {_NAMES[what]} "
        f"(by CPU time {times['cpu_seconds']} times)."
        for what, times in results["times_faster"].items()
    ]
    lines += [
        f"- {_NAMES[share['what']]}, {share['rows']:,} rows, with {share['workers']} worker(s) "
        f"reaches {share['seconds']:.0%} of the speed of {_NAMES[share['floor']]} "
        f"(by CPU time {share['cpu_seconds']:.0%})."
        for share in results["share_of_floor"]
    ]
    first, last = results["fast"][0], results["fast"][-1]
    lines += [
        f"- Its peak memory at {last['rows']:,} rows is {results['memory_growth']} times that at "
        f"{first['rows']:,}.",
        "",
        f"{results['machine']['cores']} cores, {results['machine']['platform']}, "
        f"Python {results['machine']['python']}. Times are the executor's, without imports; CPU "
        "time is that of its processes, too; peak memory that of the largest one (SQLite's reader, "
        "a second one, takes 95 MB).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=[1_000_000, 5_000_000],
        help="rows to compare with the floor on",
    )
    parser.add_argument("--slow-rows", type=int, default=200_000, help="rows for slow rivals")
    parser.add_argument("--rounds", type=int, default=3, help="turns of the fast ones")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, data, output, workers = options.measure
        measure_here(what, Path(data), output, int(workers))
        return
    results = compare(options.rows, options.slow_rows, options.rounds)
    report.write(options.output, "sql_ingest", results, as_markdown(results))


if __name__ == "__main__":
    main()
