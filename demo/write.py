"""Writes the simulated plant: ``make_plant``."""

import collections
import contextlib
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import sqlalchemy as sa

from demo import faults, tables
from demo.options import BEGIN, Options
from demo.signals import make_errors
from demo.telemetry import GatewayWriter
from demo.wear import simulate_line

Progress = Callable[[float, str], None]
"""Called with the share done, 0 to 1, and what is being written."""

FORMAT = 1
"""Rises when the same options give other data, so that what lies there is made anew."""

_OURS = {"plant.json", "plant.db", "telemetry", "truth"}


class PlantError(Exception):
    """A place that the plant must not be written to."""


@dataclasses.dataclass(frozen=True)
class PlantSummary:
    """What a plant holds.

    Attributes:
      directory: where it lies.
      database: SQLAlchemy URL of its database, without a password.
      begin: its first instant, ISO 8601.
      end: the instant after its last.
      machines: how many.
      days: how many.
      seed: of the random numbers.
      readings: how many readings were taken (a machine's four channels at one instant); some never
        arrived.
      lines: how many lines or rows the sensor files hold, second sendings and malformed ones too.
      rows: rows by table.
      faults: faults by kind.
      files: sensor files.
      written: whether this call wrote it; False if the same plant lay there already.
    """

    directory: str
    database: str
    begin: str
    end: str
    machines: int
    days: int
    seed: int
    readings: int
    lines: int
    rows: dict[str, int]
    faults: dict[str, int]
    files: int
    written: bool


def make_plant(
    directory: str | pathlib.Path,
    *,
    machines: int = 50,
    days: int = 120,
    seed: int = 7,
    readings: int | None = None,
    database_url: str | None = None,
    progress: Progress | None = None,
) -> PlantSummary:
    """Writes a plant's database, sensor files and truth.

    Everything is written beside ``directory`` and renamed into place. Where the same plant lies
    already nothing is written; another plant is replaced. Equal options give equal rows and bytes.
    An own database is filled in one transaction (MySQL cannot undo the making of tables; the others
    can).

    Args:
      directory: of the plant alone; it need not exist.
      machines: how many machines.
      days: how many days from 2025-01-01T00:00Z.
      seed: the root of every random number.
      readings: about how many readings to take: sets how often machines are read, and so the
        size of the sensor files. None for one every 15 minutes.
      database_url: SQLAlchemy URL; None for the file ``plant.db`` in the directory.
      progress: called with the share done and what is being written.

    Raises:
      ValueError: if an option is out of range.
      PlantError: if the directory or the database holds something that is not a plant's.
    """
    options = Options(machines=machines, days=days, seed=seed, readings=readings)
    place = pathlib.Path(directory).absolute()
    _refuse_foreign(place)
    tell = progress or (lambda share, what: None)
    key = json.dumps({"format": FORMAT, **dataclasses.asdict(options)}, sort_keys=True)

    before = _read_summary(place, key, own_file=database_url is None)
    if before is not None and _filled(place, database_url, key):
        tell(1.0, "nothing to do")
        return _locate(before, place, database_url, written=False)

    staging = place.with_name(f".{place.name}.partial")
    _remove(staging)
    staging.mkdir(parents=True)
    url = database_url or f"sqlite:///{(staging / 'plant.db').as_posix()}"
    try:
        with _filling(url, key) as connection:
            counts, rows, files = _write_lines(options, staging, connection, tell)
        tell(0.99, "truth")
        summary = _summary(options, counts, rows, files)
        _write_truth(options, staging, summary)
        (staging / "plant.json").write_text(
            json.dumps({"key": key, "own_file": database_url is None, **summary}, indent=2) + "\n"
        )
    except BaseException:
        _remove(staging)
        raise
    _put_into_place(staging, place)
    tell(1.0, "done")
    return _locate(summary, place, database_url, written=True)


def _write_lines(
    options: Options, staging: pathlib.Path, connection: sa.Connection, tell: Progress
) -> tuple[collections.Counter[str], collections.Counter[str], int]:
    counts: collections.Counter[str] = collections.Counter()
    rows: collections.Counter[str] = collections.Counter()
    files, taken = 0, 0
    expected = options.machines * options.days * 86_400_000_000 / options.interval
    for gateway in range(1, options.gateways + 1):
        if len(options.machines_of(gateway)) == 0:
            continue
        line = simulate_line(options, gateway)
        for table, records in tables.line_rows(options, line, make_errors(options, line)):
            rows[table.name] += len(records)
            for begin in range(0, len(records), 10_000):
                connection.execute(table.insert(), records[begin : begin + 10_000])
        writer = GatewayWriter(options, line, staging)

        def advance(readings: int, name: str = writer.name) -> None:
            nonlocal taken
            taken += readings
            tell(min(0.98, taken / expected), name)

        writer.write(advance)
        counts += writer.counts
        files += writer.files
    return counts, rows, files


def _summary(
    options: Options,
    counts: collections.Counter[str],
    rows: collections.Counter[str],
    files: int,
) -> dict:
    kinds = sorted(set(counts) - {"readings", "lines"})
    return {
        "begin": _iso(BEGIN),
        "end": _iso(options.end),
        "machines": options.machines,
        "days": options.days,
        "seed": options.seed,
        "readings": counts["readings"],
        "lines": counts["lines"],
        "rows": dict(rows),
        "faults": {kind: counts[kind] for kind in kinds},
        "files": files,
    }


def _write_truth(options: Options, staging: pathlib.Path, summary: dict) -> None:
    clocks = {
        f"gateway-{gateway}": {"runs_ahead_seconds": ahead / 1e6}
        for gateway, ahead in faults.WRONG_CLOCK.items()
    }
    truth = {
        "counts": summary["faults"],
        "wrong_clocks": clocks,
        "unit_change": {
            "gateway": f"gateway-{faults.FAHRENHEIT_GATEWAY}",
            "channel": "temperature",
            "from": "degC",
            "to": "degF",
            "at": _iso(faults.fahrenheit_from(options)),
        },
        "late_after_seconds": faults.LATE_AFTER / 1e6,
        "interval_seconds": options.interval / 1e6,
    }
    (staging / "truth" / "faults.json").write_text(json.dumps(truth, indent=2) + "\n")


def _iso(time: int) -> str:
    return f"{np.datetime64(time, 'us').astype('datetime64[s]')}Z"


def _locate(
    summary: dict, place: pathlib.Path, database_url: str | None, written: bool
) -> PlantSummary:
    url = sa.make_url(database_url or f"sqlite:///{(place / 'plant.db').as_posix()}")
    database = url.render_as_string(hide_password=True)
    return PlantSummary(directory=str(place), database=database, written=written, **summary)


def _read_summary(place: pathlib.Path, key: str, own_file: bool) -> dict | None:
    """The summary of the plant that lies there, if it is the one that ``key`` tells."""
    try:
        found = json.loads((place / "plant.json").read_text())
    except (OSError, ValueError):
        return None
    whole = all((place / name).exists() for name in ("telemetry", "truth"))
    if not whole or found.pop("key", None) != key or found.pop("own_file", None) != own_file:
        return None
    return found


def _filled(place: pathlib.Path, database_url: str | None, key: str) -> bool:
    """Whether the database holds the plant that ``key`` tells."""
    if database_url is None and not (place / "plant.db").exists():
        return False
    engine = sa.create_engine(database_url or f"sqlite:///{(place / 'plant.db').as_posix()}")
    try:
        with engine.connect() as connection:
            present = sa.inspect(connection).get_table_names()
            if not set(tables.METADATA.tables) <= set(present):
                return False
            return connection.execute(sa.select(tables.PLANT.c.options)).scalar() == key
    finally:
        engine.dispose()


@contextlib.contextmanager
def _filling(url: str, key: str) -> Iterator[sa.Connection]:
    """A transaction that has made the plant's tables, empty; an error undoes it.

    Raises:
      PlantError: if tables of these names are there that no earlier call made.
    """
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        # Left alone, Python's driver makes and drops tables outside the transaction.
        sa.event.listen(engine, "connect", _leave_transactions)
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
    try:
        with engine.begin() as connection:
            present = set(sa.inspect(connection).get_table_names()) & set(tables.METADATA.tables)
            if present and tables.PLANT.name not in present:
                raise PlantError(
                    f"{engine.url.render_as_string(hide_password=True)} already has the tables "
                    f"{', '.join(sorted(present))}, which the demo did not make and will not "
                    "replace. Give an empty database or schema"
                )
            tables.METADATA.drop_all(connection)
            tables.METADATA.create_all(connection)
            yield connection
            connection.execute(tables.PLANT.insert(), {"options": key})
    finally:
        engine.dispose()


def _leave_transactions(connection: Any, record: object) -> None:
    connection.isolation_level = None


def _refuse_foreign(place: pathlib.Path) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise PlantError(f"{place} is a file: expected a directory of the plant's own")
    names = {path.name for path in place.iterdir()}
    strange = {n for n in names - _OURS if not n.startswith("plant.db-")}
    if strange or (names and "plant.json" not in names):
        shown = sorted(strange or names)[:3]
        raise PlantError(
            f"{place} holds {', '.join(shown)}, which the demo did not write: give a directory of "
            "the plant's own, new or empty"
        )


def _put_into_place(staging: pathlib.Path, place: pathlib.Path) -> None:
    old = place.with_name(f".{place.name}.replaced")
    _remove(old)
    if place.exists():
        place.rename(old)
    staging.rename(place)
    _remove(old)


def _remove(path: pathlib.Path) -> None:
    if path.exists():
        shutil.rmtree(path)
