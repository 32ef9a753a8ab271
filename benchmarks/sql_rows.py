"""The rows that reading SQL is measured on: a table of SQLite or DuckDB, and the same as CSV."""

import csv
import datetime
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

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
_DUCKDB = {"INTEGER": "BIGINT", "REAL": "DOUBLE"}
_START = datetime.datetime(2020, 1, 1)
_CHUNK = 100_000


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


def make_duckdb(path: Path, read: Path) -> None:
    """The rows of a CSV file."""
    kinds = COLUMNS | {"observed_at": "TIMESTAMP"}
    columns = ", ".join(f"{name} {_DUCKDB.get(kind, kind)}" for name, kind in kinds.items())
    connection = duckdb.connect(str(path))
    connection.execute(f"CREATE TABLE observations ({columns})")
    connection.execute(f"COPY observations FROM '{read}' (HEADER)")
    connection.close()
