"""Measures SqlExampleGen against TFX's CsvExampleGen on the same rows, and its memory by size.

Each measurement is a process of its own, so that its peak memory is its own; both executors are
called the same way, on Beam's FnApiRunner in one process, and timed without TFX's import. The rows
stand in a SQLite file for one and in a CSV file for the other; both write one split of gzipped
tf.Examples.

Run ``python -m benchmarks.sql_ingest``; ``--rows 100000 --memory-rows 100000 500000`` for a quick
look. Results go to ``benchmarks/results/sql_ingest.json`` and ``.md``.
"""

import argparse
import csv
import datetime
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report

COLUMNS = {
    "machine_id": "INTEGER",
    "observed_at": "TEXT",
    "temperature": "REAL",
    "vibration": "REAL",
    "pressure": "REAL",
    "speed": "REAL",
    "model": "TEXT",
    "error": "TEXT",
}
_START = datetime.datetime(2020, 1, 1)
_CHUNK = 100_000
_WORKERS = 2


def rows_of(count: int, seed: int = 1) -> Iterator[list[tuple[Any, ...]]]:
    """Yields rows in chunks; hourly observations of a hundred machines."""
    random = np.random.default_rng(seed)
    for begin in range(0, count, _CHUNK):
        index = np.arange(begin, min(begin + _CHUNK, count))
        hours = np.datetime64(_START, "s") + (index // 100).astype("timedelta64[h]")
        yield list(
            zip(
                (index % 100).tolist(),
                [text.replace("T", " ") for text in np.datetime_as_string(hours).tolist()],
                *(random.normal(size=len(index)).round(4).tolist() for _ in range(4)),
                [f"model{i % 4}" for i in index.tolist()],
                [f"error{i % 7}" for i in index.tolist()],
                strict=True,
            )
        )


def make_sqlite(path: Path, count: int) -> None:
    connection = sqlite3.connect(path)
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"CREATE TABLE observations ({columns})")
    marks = ", ".join("?" * len(COLUMNS))
    for chunk in rows_of(count):
        connection.executemany(f"INSERT INTO observations VALUES ({marks})", chunk)
    connection.commit()
    connection.close()


def make_csv(path: Path, count: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for chunk in rows_of(count):
            writer.writerows(chunk)


def beam_arguments(workers: int) -> list[Any]:
    mode = "in_memory" if workers == 1 else "multi_processing"
    return [
        "--runner=FnApiRunner",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        "--sdk_container_image=local",
        "--no_pipeline_type_check",
    ]


def run_sql(database: str, output: str, workers: int) -> float:
    """Seconds of SqlExampleGen's executor."""
    from tfx.types import standard_artifacts

    from components.ingest.artifacts import QualityReport
    from components.ingest.sources import SqlSource
    from components.sql_example_gen.executor import Executor

    source = SqlSource.model_validate(
        {
            "kind": "sql",
            "url": f"sqlite:///{database}",
            "query": "SELECT * FROM observations WHERE observed_at >= :begin",
            "entity": "machine_id",
            "time": "observed_at",
            "partitions": {"column": "machine_id", "count": workers} if workers > 1 else None,
        }
    )
    examples, report = standard_artifacts.Examples(), QualityReport()
    examples.uri, report.uri = f"{output}/examples", f"{output}/report"
    executor = Executor(Executor.Context(beam_pipeline_args=beam_arguments(workers)))
    begun = time.perf_counter()
    executor.Do(
        {},
        {"examples": [examples], "report": [report]},
        {
            "name": "observations",
            "source": source.model_dump_json(),
            "as_of": "2030-01-01",
            "split": '{"by": "time", "train": "3650d", "eval": "14d"}',
            "horizon": "0s",
            "spine": 1,
        },
    )
    return time.perf_counter() - begun


def run_csv(folder: str, output: str, workers: int) -> float:
    """Seconds of CsvExampleGen's executor."""
    from google.protobuf import json_format
    from tfx.components.example_gen.csv_example_gen.executor import Executor
    from tfx.proto import example_gen_pb2
    from tfx.types import standard_artifacts

    def as_json(message: Any) -> str:
        return json_format.MessageToJson(message, preserving_proto_field_name=True)

    read = example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="all", pattern="*.csv")])
    examples = standard_artifacts.Examples()
    examples.uri = f"{output}/examples"
    executor = Executor(Executor.Context(beam_pipeline_args=beam_arguments(workers)))
    begun = time.perf_counter()
    executor.Do(
        {},
        {"examples": [examples]},
        {
            "input_base": folder,
            "input_config": as_json(read),
            "output_config": as_json(example_gen_pb2.Output()),
            "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
            "output_file_format": example_gen_pb2.FORMAT_TFRECORDS_GZIP,
        },
    )
    return time.perf_counter() - begun


def count_examples(output: str) -> int:
    from components.ingest.examples import split_files
    from components.ingest.tfrecord import read_records

    return sum(1 for _ in read_records(split_files(f"{output}/examples", "all")))


def measure(what: str, data: Path, rows: int, workers: int = 1) -> dict[str, Any]:
    """Runs one measurement in a process of its own."""
    with tempfile.TemporaryDirectory(dir=data.parent) as output:
        command = [sys.executable, "-m", "benchmarks.sql_ingest", "--measure", what]
        command += [str(data), output, str(workers)]
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
        "rows_per_second": round(rows / told["seconds"]),
        "peak_mb": round(used.ru_maxrss / 1024),
        "imported_mb": round(told["imported_kb"] / 1024),
    }


def measure_here(what: str, data: str, output: str, workers: int) -> None:
    """The measuring process's own part: prints seconds and memory as JSON."""
    import tfx.components  # noqa: F401

    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = (run_sql if what == "sql" else run_csv)(data, output, workers)
    print(json.dumps({"seconds": seconds, "imported_kb": imported}))


def compare(rows: int, memory_rows: list[int], repeats: int) -> dict[str, Any]:
    """All measurements; the two rivals take turns."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sizes = sorted({rows, *memory_rows})
        for size in sizes:
            (root / str(size)).mkdir()
            make_sqlite(root / str(size) / "plant.db", size)
        make_csv(root / str(rows) / "plant.csv", rows)
        for _ in range(repeats):
            runs.append(measure("sql", root / str(rows) / "plant.db", rows))
            runs.append(measure("csv", root / str(rows), rows))
        runs.append(measure("sql", root / str(rows) / "plant.db", rows, _WORKERS))
        memory = [measure("sql", root / str(size) / "plant.db", size) for size in memory_rows]
    speed = {
        what: float(
            np.median(
                [r["rows_per_second"] for r in runs if (r["what"], r["workers"]) == (what, 1)]
            )
        )
        for what in ("sql", "csv")
    }
    return {
        "machine": report.machine(),
        "speed": runs,
        "times_faster": round(speed["sql"] / speed["csv"], 1),
        "memory": memory,
        "memory_growth": round(memory[-1]["peak_mb"] / memory[0]["peak_mb"], 3),
    }


def as_markdown(results: dict[str, Any]) -> str:
    names = {"sql": "SqlExampleGen, SQLite", "csv": "TFX CsvExampleGen"}
    lines = [
        "| what | rows | processes | seconds | rows/s | peak MB | of it imports |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {names[r['what']]} | {r['rows']:,} | {r['workers']} | {r['seconds']} "
        f"| {r['rows_per_second']:,} | {r['peak_mb']} | {r['imported_mb']} |"
        for r in [*results["speed"], *results["memory"]]
    ]
    first, last = results["memory"][0], results["memory"][-1]
    lines += [
        "",
        f"SqlExampleGen is {results['times_faster']} times as fast in one process. Its peak memory "
        f"at {last['rows']:,} rows is {results['memory_growth']} times that at {first['rows']:,}.",
        f"{results['machine']['cores']} cores, {results['machine']['platform']}, "
        f"Python {results['machine']['python']}. Seconds are the executor's, without imports.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to compare speed on")
    parser.add_argument(
        "--memory-rows", type=int, nargs="+", default=[1_000_000, 5_000_000], help="rows for memory"
    )
    parser.add_argument("--repeats", type=int, default=1, help="turns of the two rivals")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, data, output, workers = options.measure
        measure_here(what, data, output, int(workers))
        return
    results = compare(options.rows, options.memory_rows, options.repeats)
    report.write(options.output, "sql_ingest", results, as_markdown(results))


if __name__ == "__main__":
    main()
