"""The whole pipeline on 1, 3 and 10 million readings: time and peak memory, stage by stage.

Each size is a simulated plant: a machine more for every 59,000 readings, observed every three
hours, so that the observations grow along (10,000 a million). Its sensor files are JSONL, CSV and
Parquet, with the demo's faults: irregular times, missing values, wrong clocks, duplicates, late
and malformed lines. ``python -m pipeline run`` works on it as on a user's data, in a folder of its
own, which is deleted afterwards.

Times of a stage are those that the run's log tells. Memory is what the run's processes hold
together while it runs, those of Beam's workers and of the server under load included. Where stages
run at once each is told what all of them use; where they share a process, a stage's peak holds what
the ones before it left.
"""

import argparse
import datetime
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import yaml

from benchmarks import report
from benchmarks.process_tree import Look, TreeWatch

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_STAGE = re.compile(
    r"stage (\S+): (running|done)(?: [\d.]+ s)?(?:, ([\d.]+) s of a processor;)? ?(.*)"
)
DAYS = 78
"""Sixty days to train, fourteen to evaluate, the label's horizon twice, and a little before."""
READINGS_A_MACHINE = 59_000


def make_project(folder: pathlib.Path, readings: int, epochs: int, workers: int) -> dict[str, Any]:
    """A plant with so many readings and settings that read it; what the plant holds.

    Args:
      folder: gets ``plant`` and ``settings.yaml``.
      readings: instants at which a machine's four channels are read.
      epochs: how many the Trainer may take.
      workers: processes that Beam's stages run in.
    """
    machines = max(5, round(readings / READINGS_A_MACHINE))
    plant = folder / "plant"
    words = ["demo", "--directory", plant, "--machines", machines, "--days", DAYS]
    subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, words), "--readings", str(readings)],
        cwd=_ROOT,
        check=True,
    )
    text = (_ROOT / "settings.yaml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text.replace("var/demo", str(plant)))
    settings["as_of"] = "latest"
    settings["sources"]["telemetry"]["interval"] = f"{machines * DAYS * 86_400 // readings}s"
    settings["training"] |= {"epochs": epochs}
    settings["run"] = {"directory": str(folder / "run"), "beam_workers": workers}
    settings["serving"] |= {"directory": str(folder / "serving"), "latency_p99_ms": 10_000}
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    made: dict[str, Any] = json.loads((plant / "plant.json").read_text(encoding="utf-8"))
    files = [path.stat().st_size for path in (plant / "telemetry").rglob("*.*")]
    return {
        "machines": machines,
        "readings": made["readings"],
        "observations": made["rows"]["observations"],
        "sensor_files": len(files),
        "sensor_mb": round(sum(files) / 2**20),
    }


def run(folder: pathlib.Path) -> tuple[list[Look], list[dict[str, Any]]]:
    """Runs the pipeline; what its processes used, and its stages as its log tells them.

    Raises:
      RuntimeError: if the run fails.
    """
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PLANT_DB_URL": ""}
    words = ["pipeline", "--settings", str(folder / "settings.yaml"), "run"]
    with (folder / "told.txt").open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=_ROOT,
            env=environment,
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        with TreeWatch(process.pid) as watch:
            code = process.wait()
    if code:
        said = (folder / "told.txt").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"the run failed with {code}:\n{said[-4000:]}")
    (log,) = (folder / "run/runs").glob("*/log.jsonl")
    return watch.looks, stages_of(log)


def stages_of(log: pathlib.Path) -> list[dict[str, Any]]:
    """The stages in the order of their ends.

    Returns:
      By stage its name, ``begin`` and ``end`` in seconds since the epoch, what it ``told``, and
      ``cpu_seconds`` where the log tells them.
    """
    stages, begun = [], {}
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        found = _STAGE.match(record["message"])
        if found is None:
            continue
        name, state, cpu, told = found.groups()
        at = datetime.datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()
        if state == "running":
            begun[name] = at
        else:
            own = {} if cpu is None else {"cpu_seconds": float(cpu)}
            stages.append({"stage": name, "begin": begun[name], "end": at, "told": told, **own})
    return stages


def used(looks: Sequence[Look], begin: float, end: float) -> dict[str, float]:
    """Seconds of wall and CPU time between two instants, and memory in MiB then."""
    before = [look for look in looks if look.at <= begin] or looks[:1]
    within = [look for look in looks if begin < look.at <= end] or before[-1:]
    return {
        "seconds": round(end - begin, 2),
        "cpu_seconds": round(within[-1].cpu - before[-1].cpu, 2),
        "peak_mb": round(max(look.memory for look in within) / 2**20),
        "before_mb": round(before[-1].memory / 2**20),
    }


def measure(readings: int, epochs: int, workers: int) -> dict[str, Any]:
    """Makes a plant, runs the pipeline on it and deletes both."""
    with tempfile.TemporaryDirectory(prefix="scale-") as made:
        folder = pathlib.Path(made)
        plant = make_project(folder, readings, epochs, workers)
        print(f"{readings:,}: {plant}", flush=True)
        looks, stages = run(folder)
        first, last = min(stage["begin"] for stage in stages), looks[-1].at
        measured: dict[str, dict[str, Any]] = {"start": used(looks, looks[0].at, first)}
        for stage in stages:
            figures = used(looks, stage["begin"], stage["end"])
            told = {name: stage[name] for name in ("cpu_seconds", "told") if name in stage}
            measured[stage["stage"]] = figures | told
        measured["whole run"] = used(looks, looks[0].at, last)
        for name, figures in measured.items():
            print(f"  {name}: {figures}", flush=True)
        return {"asked": readings, "plant": plant, "stages": measured}


def growth(sizes: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By stage how it grows from the smallest size to the largest.

    Returns:
      ``seconds_a_million`` and ``cpu_seconds_a_million``: between each size and the next, for each
      further million; ``memory``: peak at the largest size by that at the smallest.
    """
    found = {}
    for name in sizes[-1]["stages"]:
        told = [size["stages"][name] for size in sizes]
        found[name] = {
            **{
                f"{figure}_a_million": [
                    round((after[figure] - before[figure]) / ((more - fewer) / 1e6), 2)
                    for (before, fewer), (after, more) in itertools.pairwise(
                        (f, size["asked"]) for f, size in zip(told, sizes, strict=True)
                    )
                ]
                for figure in ("seconds", "cpu_seconds")
            },
            "memory": round(told[-1]["peak_mb"] / told[0]["peak_mb"], 2),
        }
    return found


def as_markdown(results: dict[str, Any]) -> str:
    sizes, grown = results["sizes"], results["growth"]
    millions = [f"{size['asked'] / 1e6:g}M" for size in sizes]
    steps = [f"{a} to {b}" for a, b in itertools.pairwise(millions)]
    times, memory = [], []
    for name, told in grown.items():
        figures = [size["stages"][name] for size in sizes]
        times.append(
            [
                name,
                *(f"{f['seconds']:.1f}" for f in figures),
                *(f"{f['cpu_seconds']:.1f}" for f in figures),
                *(f"{step:.2f}" for step in told["cpu_seconds_a_million"]),
            ]
        )
        memory.append(
            [
                name,
                *(f"{f['peak_mb']:,}" for f in figures),
                *(
                    f"{f['peak_mb'] - size['stages']['start']['peak_mb']:,}"
                    for f, size in zip(figures, sizes, strict=True)
                ),
                f"{told['memory']:.2f}",
            ]
        )
    heads = [f"wall {m}, s" for m in millions] + [f"CPU {m}, s" for m in millions]
    heads += [f"CPU s a further million, {step}" for step in steps]
    held = [
        f"{m}: {s['plant']['machines']} machines, {s['plant']['readings']:,} readings of four "
        f"channels in {s['plant']['sensor_files']} files of {s['plant']['sensor_mb']:,} MiB, "
        f"{s['plant']['observations']:,} observations"
        for m, s in zip(millions, sizes, strict=True)
    ]
    machine = results["machine"]
    text = _table(["stage", *heads], times)
    heads = [f"peak {m}, MiB" for m in millions] + [f"beyond imports {m}" for m in millions]
    text += "\n" + _table(["stage", *heads, f"peak {millions[-1]} by {millions[0]}"], memory)
    return (
        f"{text}\n`python -m pipeline run`, database and sensor files to a pushed version, "
        f"{results['epochs']} epochs, Beam in {results['workers']} process(es). "
        f"{'. '.join(held)}.\n"
        "Memory is that of all the run's processes together, of stages that ran at the same time, "
        "too; beyond imports is what came on top of what they held before the first stage.\n"
        f"{machine['cores']} cores, {machine['platform']}, Python {machine['python']}.\n"
    )


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    sizes = [1_000_000, 3_000_000, 10_000_000]
    parser.add_argument("--readings", type=int, nargs="+", default=sizes, help="the sizes")
    parser.add_argument("--epochs", type=int, default=3, help="of the Trainer, at most")
    parser.add_argument("--workers", type=int, default=1, help="processes of Beam's stages")
    parser.add_argument("--output", type=pathlib.Path, default=report.RESULTS, help="where to")
    options = parser.parse_args()
    measured = [measure(n, options.epochs, options.workers) for n in sorted(options.readings)]
    results = {
        "machine": report.machine(),
        "epochs": options.epochs,
        "workers": options.workers,
        "sizes": measured,
        "growth": growth(measured),
    }
    report.write(options.output, "scale", results, as_markdown(results))


if __name__ == "__main__":
    main()
