"""Runs every benchmark, one after the other: ``make bench``.

``--quick`` runs them on a fifth of the data and less, to see that they work; its results go to
``var/benchmarks`` instead of beside the code.
"""

import argparse
import pathlib
import subprocess
import sys

BENCHMARKS = {
    "sql_ingest": ["--rows=50000", "--slow-rows=5000", "--rounds=1"],
    "incremental": ["--rows", "50000"],
    "sensor_windows": ["--readings", "300000", "--rounds", "1"],
    "collect": ["--messages", "5000", "--rounds", "1"],
    "join": ["--rows", "200000", "--rounds", "1"],
    "local_loop": ["--machines", "20", "--rounds", "1"],
    "scale": ["--readings", "1000000", "--epochs", "1"],
    "training": ["--rows", "20000", "--epochs", "3"],
    "distributed": ["--steps", "20"],
    "serving_load": ["--seconds", "1", "--rounds", "1"],
    "serving_changes": ["--seconds", "20", "--folder-seconds", "10"],
    "drift": ["--seeds", "7", "--weeks", "2", "--faults", "1"],
    "rollout": ["--kinds", "wrong", "good", "--step-seconds", "2"],
}


def main() -> int:
    """Runs them; the exit code tells how many failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="on little data, results in var/")
    options = parser.parse_args()
    failed = 0
    for name, quick in BENCHMARKS.items():
        print(f"== {name}", flush=True)
        words = [sys.executable, "-m", f"benchmarks.{name}"]
        if options.quick:
            place = pathlib.Path("var/benchmarks")
            place.mkdir(parents=True, exist_ok=True)
            words += [*quick, "--output", str(place)]
        failed += subprocess.run(words, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
