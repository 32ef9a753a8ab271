"""Measures what ``python -m pipeline monitor`` finds in a plant: planted drift, and quiet weeks.

Each seed is a plant of its own with a model of its own, released by the pipeline on 2025-04-17. The
weeks after it are asked of the model through the embedded server's core, one request an observation
(50 machines every three hours), kept by its sampler and read back by the monitor. Then a fault is
planted into one week, and the monitor looks at its first day, two days, four days, and all of it.

Run ``python -m benchmarks.drift``. Results go to ``benchmarks/results/drift.json`` and ``.md``. It
takes half an hour; ``--folder`` keeps the plants for the next time.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from benchmarks import report
from benchmarks.drift_replay import Fault, recalibrated, replaced, replay
from components.ingest.durations import MICROSECONDS, parse_instant
from pipeline.monitor.baseline import Baseline, read_baseline
from pipeline.monitor.look import Look, Window, look
from pipeline.settings import Settings, load_settings
from pipeline.settings.sampling import Sampling
from serving.online.features import FeatureReader

_ROOT = Path(__file__).resolve().parents[1]
_DAY = MICROSECONDS["d"]
_BEGIN = parse_instant("2025-04-17")
_DAYS = (1, 2, 4, 7)
_GATEWAY = range(1, 51, 5)
"""The machines behind one of five gateways."""

FAULTS = (
    Fault("temperature +3 degrees, all machines", recalibrated("temperature", 1, 3, None)),
    Fault("temperature +5 degrees, all machines", recalibrated("temperature", 1, 5, None)),
    Fault("temperature +10 degrees, one gateway", recalibrated("temperature", 1, 10, _GATEWAY)),
    Fault("temperature +10 degrees, one machine", recalibrated("temperature", 1, 10, [7])),
    Fault("vibration times 1.25, all machines", recalibrated("vibration", 1.25, 0, None)),
    Fault("a new model at 1 machine of 50", replaced([50])),
)


def measure(
    folder: Path, seeds: list[int], weeks: int, week_of_faults: int
) -> Iterator[dict[str, Any]]:
    """Makes the plants, looks at their weeks, plants faults; yields all so far after each plant."""
    quiet: list[dict[str, Any]] = []
    planted: list[dict[str, Any]] = []
    for seed in seeds:
        with _plant(folder / str(seed), seed, weeks) as settings:
            baseline = read_baseline(settings)
            reader = FeatureReader(settings, Path("var/online"))
            table = reader.between(_BEGIN, _BEGIN + weeks * 7 * _DAY).table
            table = table.sort_by([(settings.spine_source.time, "ascending")])
            with tempfile.TemporaryDirectory() as name:
                kept = _keeping(settings, Path(name))
                replay(kept, baseline.version, table, Path(name))
                for week in range(1, weeks):
                    begin = _BEGIN + week * 7 * _DAY
                    quiet.append({"seed": seed, "week": week, **_told(kept, baseline, begin, 7)})
                    print(seed, week, quiet[-1]["state"], quiet[-1]["moved"], flush=True)
                begin = _BEGIN + week_of_faults * 7 * _DAY
                for days in _DAYS[:-1]:
                    quiet.append({"seed": seed, "days": days, **_told(kept, baseline, begin, days)})
                    print(seed, days, quiet[-1]["state"], quiet[-1]["moved"], flush=True)
            # What moves there without a fault tells nothing of one.
            known = [
                move[:2]
                for one in quiet
                if one["seed"] == seed and (one.get("week") == week_of_faults or "days" in one)
                for move in one["moved"]
            ]
            for fault in FAULTS:
                found = _find(settings, baseline, table, fault, begin, known)
                planted.append({"seed": seed, "fault": fault.name, **found})
                print(seed, fault.name, found["days"], found["moved"][:3], flush=True)
        yield {
            "machine": report.machine(),
            "weeks": weeks,
            "drift": settings.monitoring.drift.model_dump(mode="json"),
            "quiet": quiet,
            "planted": planted,
        }


def _find(
    settings: Settings,
    baseline: Baseline,
    table: pa.Table,
    fault: Fault,
    begin: int,
    known: list[list[str]],
) -> dict[str, Any]:
    """Plants a fault and looks at ever more of it until it is found."""
    time = table[settings.spine_source.time]

    def between(first: int, last: int) -> pa.Table:
        return table.filter(pc.and_(pc.greater_equal(time, first), pc.less(time, last)))

    with tempfile.TemporaryDirectory() as name:
        kept, folder = _keeping(settings, Path(name)), Path(name)
        replay(kept, baseline.version, between(begin - 7 * _DAY, begin), folder)
        changed = fault.change(between(begin, begin + 7 * _DAY))
        replay(kept, baseline.version, changed, folder)
        for days in _DAYS:
            told = _told(kept, baseline, begin, days)
            told["moved"] = [move for move in told["moved"] if move[:2] not in known]
            if told["moved"]:
                return {"days": days, **told}
    return {"days": None, **told}


def _told(settings: Settings, baseline: Baseline, begin: int, days: int) -> dict[str, Any]:
    seen: Look = look(settings, baseline, Window(begin, begin + days * _DAY))
    return {
        "state": seen.state,
        "examples": len(seen.served.about),
        "moved": [[c.kind, c.feature, c.distance, c.threshold] for c in seen.moved],
        "nearest": [
            [c.kind, c.feature, c.distance, c.allowed, c.chance] for c in seen.comparisons[:8]
        ],
    }


def _keeping(settings: Settings, folder: Path) -> Settings:
    sampling = Sampling(directory=str(folder))
    serving = settings.serving.model_copy(update={"sampling": sampling})
    return settings.model_copy(update={"serving": serving})


@contextlib.contextmanager
def _plant(folder: Path, seed: int, weeks: int) -> Iterator[Settings]:
    """A plant and its released model, in a folder of its own that this process stands in."""
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load((_ROOT / "settings.yaml").read_text(encoding="utf-8"))
    # Other work on the machine makes answers late, which is not what is measured here.
    settings["serving"]["latency_p99_ms"] = 10_000
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    schemas = folder / "schemas"
    schemas.mkdir(exist_ok=True)
    (schemas / "schema.pbtxt").write_bytes((_ROOT / "schemas/schema.pbtxt").read_bytes())
    os.chdir(folder)
    try:
        if not Path("var/serving").exists():
            days = 106 + 7 * weeks + 7
            _call("demo", "--seed", str(seed), "--days", str(days))
            _call("run")
        yield load_settings(Path("settings.yaml"))
    finally:
        os.chdir(before)


def _call(*words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    subprocess.run([sys.executable, "-m", "pipeline", *words], check=True, env=environment)


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "| fault | found after, in requests | by | distance (beyond which it counts) |",
        "|---|---|---|---|",
    ]
    for fault in FAULTS:
        found = [one for one in results["planted"] if one["fault"] == fault.name]
        after = ", ".join("not" if one["days"] is None else f"{one['examples']:,}" for one in found)
        moved = [move for one in found for move in one["moved"]]
        by = f"| {fault.name} | {after} | | |"
        if moved:
            kind, feature, distance, threshold = moved[0]
            far = f"{distance:.3f} ({threshold:.3f})"
            by = f"| {fault.name} | {after} | {kind} of `{feature}` | {far} |"
        lines.append(by)
    weeks = [one for one in results["quiet"] if "week" in one]
    parts = [one for one in results["quiet"] if "days" in one]
    false = {
        what: sum(bool(one["moved"]) for one in looks)
        for what, looks in (("weeks", weeks), ("parts", parts))
    }
    seeds = len({one["seed"] for one in weeks})
    machine = results["machine"]
    lines += [
        "",
        f"One column of requests for each of {seeds} plants. Quiet weeks with an alarm: "
        f"{false['weeks']} of {len(weeks)}; quiet stretches of one, two and four days: "
        f"{false['parts']} of {len(parts)}.",
        f"{machine['cores']} cores, {machine['platform']}, Python {machine['python']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 11, 23], help="plants")
    parser.add_argument("--weeks", type=int, default=7, help="weeks after the release")
    parser.add_argument("--faults", type=int, default=4, help="in which week faults are planted")
    parser.add_argument("--folder", type=Path, help="keeps the plants; made anew without it")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where results go")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        output, plants = options.output.absolute(), folder.absolute()
        for results in measure(plants, options.seeds, options.weeks, options.faults):
            report.write(output, "drift", results, as_markdown(results))
    # Shorter stretches are reported; that whole weeks are quiet is what is promised.
    return int(any(one["moved"] for one in results["quiet"] if "week" in one))


if __name__ == "__main__":
    sys.exit(main())
