"""`python -m pipeline run` beside TFX's stock pipeline on the same joined rows.

Ours starts from the plant's database and sensor files: it reads, cleans and joins them, gates on
anomalies, serves the model under load and pushes. The stock one (``stock_pipeline``) starts from
what ours has joined, as CSV. Both train the same model with the same settings, take turns, and
are timed as whole processes, imports included.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import yaml

from benchmarks import report

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_SPLITS = ("train", "eval")


def make_project(folder: pathlib.Path, machines: int) -> pathlib.Path:
    """The demo's data, and settings that read it; the settings' file."""
    plant = folder / "demo"
    words = ["demo", "--directory", str(plant), "--machines", str(machines)]
    subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=_ROOT, check=True)
    text = (_ROOT / "settings.yaml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text.replace("var/demo", str(plant)))
    settings["run"] = {"directory": str(folder / "ours")}
    settings["serving"] |= {"directory": str(folder / "serving"), "latency_p99_ms": 10_000}
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def write_csv(runs: pathlib.Path, folder: pathlib.Path) -> int:
    """Writes what PointInTimeJoin made as CSV files; the number of rows."""
    from components.ingest.examples import read_table, split_files

    (made,) = sorted((runs / "pipeline/PointInTimeJoin/examples").iterdir())[-1:]
    folder.mkdir()
    rows = 0
    for split in _SPLITS:
        frame = read_table(split_files(str(made), split)).to_pandas(integer_object_nulls=True)
        for name in frame.select_dtypes(object):
            frame[name] = frame[name].map(lambda v: v.decode() if isinstance(v, bytes) else v)
        frame.to_csv(folder / f"{split}.csv", index=False)
        rows += len(frame)
    return rows


def timed(words: list[str]) -> dict[str, float]:
    """Runs a process to its end: seconds of wall and of CPU, its children's included."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PLANT_DB_URL": ""}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} failed with {process.returncode}:\n{told[-4000:]}")
    return {"seconds": time.monotonic() - began, "cpu_seconds": used.ru_utime + used.ru_stime}


def compare(machines: int, rounds: int) -> dict[str, Any]:
    """Both, turn by turn, after a run of ours that makes the rows and warms the disk's cache."""
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        settings = make_project(folder, machines)
        ours = ["pipeline", "--settings", str(settings), "run", "--no-cache"]
        timed(ours)
        rows = write_csv(folder / "ours", folder / "csv")
        turns = []
        for number in range(rounds):
            work = str(folder / f"stock-{number}")
            stock = ["benchmarks.stock_pipeline", str(folder / "csv"), work, str(settings)]
            turns.append({"ours": timed(ours), "stock": timed(stock)})
            print(f"round {number + 1} of {rounds}: {turns[-1]}", flush=True)
    return {
        "machine": report.machine(),
        "rows": rows,
        "turns": turns,
        "share_of_wall": _share(turns, "seconds"),
        "share_of_cpu": _share(turns, "cpu_seconds"),
    }


def as_markdown(results: dict[str, Any]) -> str:
    names = {
        "ours": "`make run`: database and sensor files to a pushed version",
        "stock": "stock TFX: the joined rows as CSV to a pushed model",
    }
    lines = ["| pipeline | wall, s | CPU, s |", "|---|---:|---:|"]
    for name, told in names.items():
        runs = [turn[name] for turn in results["turns"]]
        wall, cpu = (
            statistics.median(run[figure] for run in runs) for figure in ("seconds", "cpu_seconds")
        )
        lines.append(f"| {told} | {wall:.0f} | {cpu:.0f} |")
    machine = results["machine"]
    return (
        "\n".join(lines)
        + f"\n\nMedians of {len(results['turns'])} turns on {results['rows']:,} joined rows: ours "
        f"takes {results['share_of_wall']:.2f} of the stock pipeline's wall time and "
        f"{results['share_of_cpu']:.2f} of its CPU time.\n"
        f"{machine['cores']} cores, {machine['platform']}, Python {machine['python']}.\n"
    )


def _share(turns: list[dict[str, dict[str, float]]], figure: str) -> float:
    return round(statistics.median(t["ours"][figure] / t["stock"][figure] for t in turns), 3)


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--machines", type=int, default=50, help="machines of the plant")
    parser.add_argument("--rounds", type=int, default=3, help="turns of the two")
    parser.add_argument("--output", type=pathlib.Path, default=report.RESULTS, help="where to")
    options = parser.parse_args()
    results = compare(options.machines, options.rounds)
    report.write(options.output, "local_loop", results, as_markdown(results))


if __name__ == "__main__":
    main()
