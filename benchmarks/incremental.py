"""Measures SqlExampleGen over kept days: the first run, and reruns after what happens to data.

Each run is a process of its own, forked after TFX was imported: it calls the component's executor,
on Beam's FnApiRunner, on the same SQLite file. Beside each stands a whole read.

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
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.sql_ingest import beam_arguments, make_sqlite

QUERY = "SELECT * FROM observations WHERE observed_at >= :begin AND observed_at < :end"
STATE = QUERY.replace("*", "COUNT(*), MAX(rowid)")
ROWS_PER_DAY = 2400
WHOLE, KEPT = "whole window", "kept days"


def run_here(database: str, folder: str, days: str, as_of: str, window: str) -> dict[str, Any]:
    """One run of the executor; empty ``days`` reads the whole window."""
    from tfx.types import standard_artifacts

    from components.ingest.artifacts import QualityReport
    from components.ingest.sources import SqlSource
    from components.sql_example_gen.executor import Executor

    source = SqlSource.model_validate(
        {
            "kind": "sql",
            "url": f"sqlite:///{database}",
            "query": QUERY,
            "entity": "machine_id",
            "time": "observed_at",
            "incremental": {"watermark": STATE, "directory": days} if days else None,
        }
    )
    examples, told = standard_artifacts.Examples(), QualityReport()
    examples.uri, told.uri = f"{folder}/examples", f"{folder}/report"
    executor = Executor(Executor.Context(beam_pipeline_args=beam_arguments(1)))
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    executor.Do(
        {},
        {"examples": [examples], "report": [told]},
        {
            "name": "observations",
            "source": source.model_dump_json(),
            "as_of": as_of,
            "split": json.dumps({"by": "entity", "window": window, "eval": 0.2}),
            "horizon": "0s",
            "spine": 1,
        },
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    content = json.loads(Path(f"{folder}/report/report.json").read_text())
    return {
        "rows": content["rows"],
        "rows_read": content["spans"]["rows_read"] if days else content["rows"],
        "days_read": content["spans"]["read"] if days else None,
        "seconds": round(time.perf_counter() - begun, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_mb": used.ru_maxrss >> 10,
    }


def measure(database: Path, days: str, as_of: str, window: str) -> dict[str, Any]:
    """Runs it in a process forked after TFX was imported, which takes longer than the runs."""
    fork = multiprocessing.get_context("fork")
    with (
        tempfile.TemporaryDirectory(dir=database.parent) as folder,
        concurrent.futures.ProcessPoolExecutor(1, fork) as process,
    ):
        return process.submit(run_here, str(database), folder, days, as_of, window).result()


def compare(rows: int) -> dict[str, Any]:
    """What happens between runs, and what a run over kept days and a whole one cost then."""
    import tfx.components  # noqa: F401

    from components.ingest.spans.days import read_day, write_day

    length = rows // ROWS_PER_DAY - 1
    first = read_day("2020-01-01") + length
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "plant.db"
        make_sqlite(database, rows)

        def change(statement: str) -> None:
            connection = sqlite3.connect(database)
            with connection:
                connection.execute(statement)
            connection.close()

        change("CREATE INDEX by_time ON observations (observed_at)")
        late = write_day(first - length // 2)
        happenings: dict[str, tuple[int, str | None]] = {
            "the first run": (first, None),
            "nothing new": (first, None),
            "one new day": (first + 1, None),
            "a late row in an old day": (
                first + 1,
                f"INSERT INTO observations VALUES (1, '{late} 12:00:00', 1, 1, 1, 1, 'a', 'b')",
            ),
            "an old day deleted": (
                first + 1,
                f"DELETE FROM observations WHERE observed_at LIKE '{late}%'",
            ),
        }
        for what, (day, statement) in happenings.items():
            if statement:
                change(statement)
            for how, days in ((WHOLE, ""), (KEPT, f"{folder}/days")):
                told = measure(database, days, write_day(day), f"{length}d")
                runs.append({"happened": what, "how": how, **told})
    for whole, kept in zip(runs[::2], runs[1::2], strict=True):
        if whole["rows"] != kept["rows"]:
            raise RuntimeError(f"{kept['rows']} rows of {whole['rows']} after {kept['happened']}")
    return {"machine": report.machine(), "days": length, "runs": runs}


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "| since the run before | read | rows read | days | CPU s | wall s | peak MB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['happened']} | {r['how']} | {r['rows_read']:,} "
        f"| {results['days'] if r['days_read'] is None else r['days_read']} "
        f"| {r['cpu_seconds']} | {r['seconds']} | {r['peak_mb']} |"
        for r in results["runs"]
    ]
    machine = results["machine"]
    lines += [
        "",
        f"A window of {results['days']} days, {results['runs'][0]['rows']:,} rows in SQLite with "
        "an index on the time. Both gave the same number of rows each time.",
        f"{machine['cores']} cores, {machine['platform']}, Python {machine['python']}. Seconds are "
        "the executor's, without imports.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in the table")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    options = parser.parse_args()
    results = compare(options.rows)
    report.write(options.output, "incremental", results, as_markdown(results))


if __name__ == "__main__":
    main()
