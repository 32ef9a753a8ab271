"""Measures how long bad canaries live and whom they harm: each on a real server, under load.

Requests come at random times at a given rate over gRPC, whether or not earlier ones were answered,
to the embedded server in a process of its own. The controller, with the default thresholds but for
the latency, sends 1, 10 and 50 % of them to each version in turn and takes the bad ones back. All
run on one machine, the load too.

Run ``python -m benchmarks.rollout``. Results go to ``benchmarks/results/rollout.json`` and ``.md``.
"""

import argparse
import asyncio
import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import canaries, report, trial
from serving.rollout.plan import Plan, Step, Thresholds

_TIMEOUT = 1.0
_P99_MS = 100.0


def plan(step_seconds: float) -> Plan:
    """Steps of so many seconds; the gate's promise with room for a machine that does all."""
    return Plan(
        tuple(Step(percent, step_seconds, min_requests=50) for percent in (1, 10, 50)),
        Thresholds(p99_ms=_P99_MS),
        timeout_seconds=600,
        load_seconds=10,
    )


def measure(kinds: list[str], rate: float, step_seconds: float) -> dict[str, Any]:
    """Runs the trials, one after the other on one server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved = {
            kind: canaries.save(folder / kind, kind, slow_seconds=2 * _P99_MS / 1000)
            for kind in ("stable", *kinds)
        }
        outcomes = []
        with trial.serving(folder / "served", folder, saved["stable"]) as (served, releases):
            for kind in kinds:
                outcome = asyncio.run(
                    trial.run(served, releases, saved[kind], plan(step_seconds), rate, _TIMEOUT)
                )
                print(f"{kind}: {outcome.state}, {outcome.why}", flush=True)
                outcomes.append({**dataclasses.asdict(outcome), "harmed": outcome.harmed})
    return {
        "machine": report.machine(),
        "rate": rate,
        "step_seconds": step_seconds,
        "p99_ms": _P99_MS,
        "trials": outcomes,
    }


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "| canary | ends | after s | requests | to it | wrong | failed | late | harmed "
        "| stable late | why |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {t['kind']} | {t['state']} | {t['exposed_seconds']:.1f} | {t['sent']:,} "
        f"| {t['to_canary']:,} | {t['wrong']:,} | {t['failed']:,} | {t['late']:,} "
        f"| {t['harmed']:,} ({t['harmed'] / max(1, t['sent']):.1%}) | {t['stable_late']:,} "
        f"| {t['why']} |"
        for t in results["trials"]
    ]
    after = sum(t["afterwards"] for t in results["trials"])
    harmed = sum(t["afterwards_harmed"] for t in results["trials"])
    machine = results["machine"]
    lines += [
        "",
        f"{results['rate']:g} requests a second, steps of 1, 10 and 50 % that last "
        f"{results['step_seconds']:g} s and 50 requests at least. Time and requests count from the "
        "canary's first step to the decision. Late is above "
        f"{results['p99_ms']:g} ms; harmed is wrong, failed or late by the canary. A failed "
        "request does not tell which version it went to, so that it is not in the column of those "
        "to it.",
        f"Of {after:,} requests in the second after the decisions {harmed} failed or were answered "
        "wrong.",
        f"{machine['cores']} cores that also make the load and run other work, "
        f"{machine['platform']}, Python {machine['python']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second")
    parser.add_argument("--step-seconds", type=float, default=10.0, help="of each step at least")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=[canaries.GOOD, *canaries.BAD],
        default=[*canaries.BAD, canaries.GOOD],
        help="which canaries",
    )
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    options = parser.parse_args()
    results = measure(options.kinds, options.rate, options.step_seconds)
    report.write(options.output, "rollout", results, as_markdown(results))
    ends = {t["kind"]: t["state"] for t in results["trials"]}
    return int(any((state == "stable") != (kind == canaries.GOOD) for kind, state in ends.items()))


if __name__ == "__main__":
    sys.exit(main())
