"""Rivals measured by turns, each in processes of its own that are held to some cores.

Other work on the machine slows whoever runs just then: so rivals take turns and medians count, and
beside seconds on the wall stand those of the processor (CPU time of all threads), which other work
disturbs least.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

THREADS = (1, 2)


def hold(threads: int) -> None:
    """Holds this process to some cores, and its libraries to as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    pa.set_cpu_count(threads)


def timed(function: Callable[[], Any], runs: int) -> tuple[Any, dict[str, float]]:
    """Calls a function; the first time, in which it imports, is not counted if there are others.

    Returns:
      What it gave, and medians of ``seconds`` of the processor and ``wall_seconds``, with the
      process's ``peak_bytes``.
    """
    result = function() if runs > 1 else None
    seconds, wall = [], []
    for _ in range(max(runs - 1, 1)):
        begin, began = time.process_time(), time.perf_counter()
        result = function()
        seconds.append(time.process_time() - begin)
        wall.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result, {
        "seconds": statistics.median(seconds),
        "wall_seconds": statistics.median(wall),
        "peak_bytes": peak,
    }


def take(module: str, rivals: Sequence[tuple[str, ...]], rounds: int) -> list[dict[str, Any]]:
    """Lets rivals take turns.

    Args:
      module: is run with ``--measure`` and a rival's words, and prints what ``timed`` tells.
      rivals: their words.
      rounds: how often each is run.

    Returns:
      By rival the medians of what its processes told.
    """
    told: list[list[dict[str, float]]] = [[] for _ in rivals]
    for _ in range(rounds):
        for place, words in enumerate(rivals):
            command = [sys.executable, "-m", module, "--measure", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            told[place].append(json.loads(done.stdout.splitlines()[-1]))
    return [
        {name: statistics.median(turn[name] for turn in mine) for name in mine[0]} for mine in told
    ]


def against_faster(rows: Sequence[dict[str, Any]], ours: str) -> list[dict[str, Any]]:
    """By number of threads: how fast ours is, beside the faster of Polars and DuckDB.

    Args:
      rows: by ``way`` and ``threads`` what ``take`` returns.
      ours: our way.
    """
    found = []
    for threads in THREADS:
        mine = {row["way"]: row for row in rows if row["threads"] == threads}
        beside: dict[str, Any] = {"threads": threads}
        for name in ("wall_seconds", "seconds"):
            peer = min(("polars", "duckdb"), key=lambda way: mine[way][name])
            times = round(mine[peer][name] / mine[ours][name], 2)
            beside[name] = {"peer": peer, "times_as_fast": times}
        found.append(beside)
    return found


def compared(beside: dict[str, Any], names: dict[str, str]) -> str:
    """One comparison of ``against_faster`` in words."""
    return f"{beside['times_as_fast']:.2f} times as fast as {names[beside['peer']]}"


def said(machine: dict[str, Any]) -> str:
    """What a reader should know of a table's figures."""
    return (
        "Medians of rivals that took turns, without imports. CPU seconds are those of all threads; "
        "those on the wall hang on what else the machine did. "
        f"{machine['cores']} cores, {machine['platform']}, Python {machine['python']}."
    )
