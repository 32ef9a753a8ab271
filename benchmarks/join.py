"""Measures the point-in-time join against Polars' ``join_asof`` and DuckDB's ASOF JOIN.

Each gets the same two Arrow tables in memory, observations and readings of machines in no order,
and gives every observation the latest reading of its machine that is at most a week old. The
joined columns must be the same. (Rows that became known later than they happened, which ours leaves
out as long as they were not known, have no counterpart in the others.)

Run ``python -m benchmarks.join``; ``--rows 200000`` for a quick look. Results go to
``benchmarks/results/join.json`` and ``.md``.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import report, turns

MACHINES = 1000
VALUES = tuple(f"value_{i}" for i in range(5))
_BEGIN = 1_700_000_000_000_000
_SECOND = 1_000_000
_YEAR = 365 * 86_400
_WEEK = 7 * 86_400 * _SECOND


def tables(rows: int) -> tuple[pa.Table, pa.Table]:
    """Half as many observations as readings; no machine has two readings of one time."""
    random = np.random.default_rng(1)
    place = random.permutation(rows)
    step = _YEAR * _SECOND * MACHINES // rows
    readings: dict[str, Any] = {
        "machine_id": place % MACHINES,
        "time": _BEGIN + place // MACHINES * step + random.integers(0, step, rows),
    }
    readings |= {name: random.normal(size=rows) for name in VALUES}
    count = rows // 2
    observations = {
        "machine_id": random.integers(0, MACHINES, count),
        "time": _BEGIN + random.integers(0, _YEAR, count) * _SECOND,
        "label": random.integers(0, 2, count),
    }
    return pa.table(observations), pa.table(readings)


def by_join(observations: pa.Table, readings: pa.Table, threads: int) -> dict[str, np.ndarray]:
    """The repository's way."""
    from components.point_in_time_join.join import join
    from components.point_in_time_join.settings import JoinSettings

    source = {"kind": "sql", "url": "sqlite:///plant.db", "query": "SELECT 1"}
    keys = {"entity": "machine_id", "time": "time"}
    settings = JoinSettings.model_validate(
        {
            "spine": {**source, **keys},
            "sources": {"readings": {**source, **keys, "tolerance": "7d"}},
            "split": {"by": "time", "train": "300d", "eval": "60d"},
            "label": "label",
        }
    )
    joined = join(observations, {"readings": {"all": readings}}, settings)
    return {name: joined[f"readings_{name}"].to_numpy() for name in VALUES}


def by_polars(observations: pa.Table, readings: pa.Table, threads: int) -> dict[str, np.ndarray]:
    """Sorts both sides, as ``join_asof`` needs, and puts the observations in order again."""
    import polars as pl

    left = pl.DataFrame(pl.from_arrow(observations)).lazy().with_row_index("place").sort("time")
    right = pl.DataFrame(pl.from_arrow(readings)).lazy().sort("time")
    joined = left.join_asof(
        right, on="time", by="machine_id", tolerance=_WEEK, check_sortedness=False
    )
    found = joined.sort("place").select(VALUES).collect()
    return {name: found[name].to_numpy() for name in VALUES}


def by_duckdb(observations: pa.Table, readings: pa.Table, threads: int) -> dict[str, np.ndarray]:
    """ASOF LEFT JOIN; what is older than a week is taken out of its result."""
    import duckdb

    connection = duckdb.connect(config={"threads": threads})
    # As NumPy's arrays, without a copy: DuckDB takes no tables of Arrow as old as TFX 1.16's.
    numbered = observations.append_column("place", pa.array(np.arange(len(observations))))
    for name, table in {"observations": numbered, "readings": readings}.items():
        connection.register(name, {c: table[c].to_numpy() for c in table.column_names})
    fresh = ", ".join(
        f"CASE WHEN o.time - r.time <= {_WEEK} THEN r.{name} END AS {name}" for name in VALUES
    )
    found = connection.execute(
        f"SELECT {fresh} FROM observations o ASOF LEFT JOIN readings r "
        "ON o.machine_id = r.machine_id AND o.time >= r.time ORDER BY o.place"
    ).fetchnumpy()
    return {name: np.ma.filled(np.ma.asarray(found[name]), np.nan) for name in VALUES}


WAYS: dict[str, Callable[[pa.Table, pa.Table, int], dict[str, np.ndarray]]] = {
    "join": by_join,
    "polars": by_polars,
    "duckdb": by_duckdb,
}


def measure(way: str, threads: int, rows: int, out: str) -> None:
    """Runs one way in this process; prints what it took, writes its columns to ``out``."""
    turns.hold(threads)
    observations, readings = tables(rows)
    found, took = turns.timed(lambda: WAYS[way](observations, readings, threads), 4)
    np.savez(out, **found)
    print(json.dumps(took))


def main() -> None:
    """Measures all ways, on one thread and on two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000, help="readings")
    parser.add_argument("--rounds", type=int, default=3, help="turns of all ways")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, threads, rows, out = options.measure
        measure(way, int(threads), int(rows), out)
        return
    with tempfile.TemporaryDirectory() as folder:
        rivals = [(way, threads) for threads in turns.THREADS for way in WAYS]
        took = turns.take(
            "benchmarks.join",
            [
                (way, str(threads), str(options.rows), f"{folder}/{way}-{threads}.npz")
                for way, threads in rivals
            ],
            options.rounds,
        )
        with np.load(f"{folder}/join-1.npz") as ours:
            matched = float(np.isfinite(ours[VALUES[0]]).mean())
            for way, threads in rivals:
                with np.load(f"{folder}/{way}-{threads}.npz") as theirs:
                    for name in VALUES:
                        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=way)
    rows = [
        {"way": way, "threads": threads, **found}
        for (way, threads), found in zip(rivals, took, strict=True)
    ]
    results = {
        "machine": report.machine(),
        "rows": options.rows,
        "observations": options.rows // 2,
        "matched": matched,
        "ways": rows,
        "against_faster": turns.against_faster(rows, "join"),
    }
    report.write(options.output, "join", results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    """The results as a table."""
    names = {"join": "join", "polars": "Polars join_asof", "duckdb": "DuckDB ASOF JOIN"}
    lines = [
        f"{results['observations']:,} observations joined as of their time to "
        f"{results['rows']:,} readings of {MACHINES:,} machines, five columns; "
        f"{results['matched']:.0%} of them match. All results are equal.",
        "",
        "| way | threads | CPU seconds | on the wall | peak |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {names[r['way']]} | {r['threads']} | {r['seconds']:.2f} | {r['wall_seconds']:.2f} "
        f"| {r['peak_bytes'] / 2**20:,.0f} MiB |"
        for r in results["ways"]
    ]
    lines += [
        "",
        *(
            f"Ours is, on {row['threads']} thread(s), {turns.compared(row['wall_seconds'], names)} "
            f"on the wall, {turns.compared(row['seconds'], names)} by CPU."
            for row in results["against_faster"]
        ),
        "",
        turns.said(results["machine"]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
