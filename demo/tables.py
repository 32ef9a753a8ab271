"""The plant's database: its tables, and the rows of one gateway's machines.

All times are UTC without a zone. SQLite keeps them as text with six decimals
(``2025-01-01 00:00:00.000000``), so that comparing texts compares times, also with a bound time
that has no decimals, as long as queries use ``>=`` a begin and ``<`` an end.
"""

import datetime
import uuid
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from demo.options import (
    BEGIN,
    COMPONENTS,
    DAY,
    HORIZON,
    HOUR,
    MODELS,
    OBSERVE_EVERY,
    SITES,
    Options,
)
from demo.signals import CODES, Errors, standing
from demo.wear import OPERATORS, SHIFT_HOURS, Line

METADATA = sa.MetaData()
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_TEXT = sa.String(40)
_SHIFTS = ("night", "early", "late")
_COSTS = {"preventive": 800.0, "inspection": 120.0, "corrective": 3500.0}


def _machine_id() -> sa.Column:
    return sa.Column("machine_id", sa.ForeignKey("machines.machine_id"), nullable=False)


PLANT = sa.Table(
    "demo_plant",
    METADATA,
    sa.Column("options", sa.Text, nullable=False, comment="what made these tables"),
)
MACHINES = sa.Table(
    "machines",
    METADATA,
    sa.Column("machine_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("serial", sa.Uuid, nullable=False),
    sa.Column("model", _TEXT, nullable=False),
    sa.Column("site", _TEXT, nullable=False),
    sa.Column("line", sa.Integer, nullable=False),
    sa.Column("installed_on", sa.Date, nullable=False),
    sa.Column("age_years", sa.Float, nullable=False),
    sa.Column("rated_power_kw", sa.Float),
    sa.Column("purchase_cost", sa.Numeric(12, 2), nullable=False),
    sa.Column("critical", sa.Boolean, nullable=False),
    sa.Column("configuration", sa.JSON, nullable=False),
    sa.Column("note", sa.Text),
)
OPERATORS_TABLE = sa.Table(
    "operators",
    METADATA,
    sa.Column("operator_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("experience_years", sa.Float, nullable=False),
    sa.Column("certified", sa.Boolean, nullable=False),
    sa.Column("hired_on", sa.Date, nullable=False),
)
SHIFTS = sa.Table(
    "shifts",
    METADATA,
    sa.Column("shift_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("line", sa.Integer, nullable=False, index=True),
    sa.Column("name", _TEXT, nullable=False),
    sa.Column("operator_id", sa.ForeignKey("operators.operator_id"), nullable=False),
    sa.Column("begins_at", _TIME, nullable=False),
    sa.Column("ends_at", _TIME, nullable=False),
)
WORK_ORDERS = sa.Table(
    "work_orders",
    METADATA,
    sa.Column("work_order_id", sa.Integer, primary_key=True, autoincrement=False),
    _machine_id(),
    sa.Column("component", _TEXT, nullable=False),
    sa.Column("kind", _TEXT, nullable=False),
    sa.Column("opened_at", _TIME, nullable=False),
    sa.Column("closed_at", _TIME),
    sa.Column("replaced", sa.Boolean, nullable=False),
    sa.Column("cost", sa.Numeric(10, 2)),
    sa.Column("technician", _TEXT),
)
FAILURES = sa.Table(
    "failures",
    METADATA,
    sa.Column("failure_id", sa.Integer, primary_key=True, autoincrement=False),
    _machine_id(),
    sa.Column("component", _TEXT, nullable=False),
    sa.Column("failed_at", _TIME, nullable=False),
    sa.Column("downtime_hours", sa.Float),
    sa.Column("cost", sa.Numeric(10, 2), nullable=False),
    sa.Index("failures_by_machine", "machine_id", "failed_at"),
)
ERRORS = sa.Table(
    "errors",
    METADATA,
    sa.Column("error_id", sa.Integer, primary_key=True, autoincrement=False),
    _machine_id(),
    sa.Column("code", _TEXT, nullable=False),
    sa.Column("severity", sa.Integer, nullable=False),
    sa.Column("raised_at", _TIME, nullable=False, index=True),
    sa.Column("recorded_at", _TIME, nullable=False),
    sa.Column("acknowledged", sa.Boolean),
)
OBSERVATIONS = sa.Table(
    "observations",
    METADATA,
    sa.Column(
        "machine_id", sa.ForeignKey("machines.machine_id"), primary_key=True, autoincrement=False
    ),
    sa.Column("observed_at", _TIME, primary_key=True, index=True),
    sa.Column("horizon_at", _TIME, nullable=False, comment="observed_at + 24 h"),
    sa.Column("operating_hours", sa.Float, nullable=False),
    sa.Column("planned_load", sa.Float),
)

Rows = list[dict[str, Any]]


def line_rows(options: Options, line: Line, errors: Errors) -> Iterator[tuple[sa.Table, Rows]]:
    """The rows of one gateway's machines, table by table in the order of their references.

    Keys are made of the gateway's number and a count, so that lines need not know each other.
    """
    rng = options.rng(line.machines.gateway, 6)
    yield MACHINES, _machines(line, rng)
    yield OPERATORS_TABLE, _operators(line, rng)
    yield SHIFTS, _shifts(options, line)
    yield WORK_ORDERS, _work_orders(options, line, rng)
    yield FAILURES, _failures(options, line, rng)
    yield ERRORS, _errors(line, errors, rng)
    yield OBSERVATIONS, _observations(options, line, rng)


def _rows(names: Sequence[str], *columns: Sequence[Any]) -> Rows:
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _keys(line: Line, count: int) -> list[int]:
    return (line.machines.gateway * 1_000_000 + np.arange(1, count + 1)).tolist()


def _times(values: np.ndarray) -> list[datetime.datetime]:
    """Naive UTC datetimes of int64 microseconds."""
    return values.astype("datetime64[us]").tolist()


def _dates(years_before: np.ndarray) -> list[datetime.date]:
    days = BEGIN // DAY - (years_before * 365.25).astype(np.int64)
    return days.astype("datetime64[D]").tolist()


def _money(values: np.ndarray) -> list[Decimal]:
    return [Decimal(int(cents)).scaleb(-2) for cents in np.round(values * 100)]


def _some(values: Sequence[Any], present: np.ndarray) -> list[Any]:
    """The values, None where absent."""
    return [value if there else None for value, there in zip(values, present, strict=True)]


def _machines(line: Line, rng: np.random.Generator) -> Rows:
    machines = line.machines
    n = len(machines.machine_id)
    power = np.round(rng.choice([15.0, 22.0, 37.5, 55.0], n), 1)
    firmware = rng.integers(1, 5, n)
    return _rows(
        [column.name for column in MACHINES.columns],
        machines.machine_id.tolist(),
        [uuid.UUID(bytes=rng.bytes(16), version=4) for _ in range(n)],
        [MODELS[model] for model in machines.model],
        [SITES[machines.site]] * n,
        [machines.gateway] * n,
        _dates(machines.age_years),
        machines.age_years.tolist(),
        _some(power.tolist(), rng.random(n) > 0.1),
        _money(rng.uniform(40_000, 250_000, n)),
        (rng.random(n) < 0.3).tolist(),
        [{"firmware": f"2.{minor}", "cooling": ["air", "water"][minor % 2]} for minor in firmware],
        _some(["rebuilt in the workshop"] * n, rng.random(n) < 0.15),
    )


def _operators(line: Line, rng: np.random.Generator) -> Rows:
    experience = line.experience
    return _rows(
        [column.name for column in OPERATORS_TABLE.columns],
        _keys(line, OPERATORS),
        experience.tolist(),
        (experience > rng.uniform(0.5, 4.0, OPERATORS)).tolist(),
        _dates(experience),
    )


def _shifts(options: Options, line: Line) -> Rows:
    n = options.hours // SHIFT_HOURS
    begins = BEGIN + np.arange(n) * SHIFT_HOURS * HOUR
    return _rows(
        [column.name for column in SHIFTS.columns],
        _keys(line, n),
        [line.machines.gateway] * n,
        [_SHIFTS[number % 3] for number in range(n)],
        (line.machines.gateway * 1_000_000 + 1 + line.operator[:n]).tolist(),
        _times(begins),
        _times(begins + SHIFT_HOURS * HOUR),
    )


def _work_orders(options: Options, line: Line, rng: np.random.Generator) -> Rows:
    visits = [visit for visit in line.visits if visit.opened_at < options.end]
    n = len(visits)
    closed = np.array([visit.closed_at for visit in visits], dtype=np.int64)
    usual = np.array([_COSTS[visit.kind] for visit in visits])
    technicians = [f"technician {number}" for number in rng.integers(1, 13, n)]
    # At the plant's end some are still open: no closing time, no bill.
    done = closed < options.end
    return _rows(
        [column.name for column in WORK_ORDERS.columns],
        _keys(line, n),
        [int(line.machines.machine_id[visit.machine]) for visit in visits],
        [COMPONENTS[visit.component] for visit in visits],
        [visit.kind for visit in visits],
        _times(np.array([visit.opened_at for visit in visits], dtype=np.int64)),
        _some(_times(closed), done),
        [visit.replaced for visit in visits],
        _some(_money(usual * rng.uniform(0.7, 1.6, n)), done),
        _some(technicians, rng.random(n) > 0.08),
    )


def _failures(options: Options, line: Line, rng: np.random.Generator) -> Rows:
    machine, component, failed, back, _ = line.failures.T
    order = np.lexsort((machine, failed))
    machine, component, failed, back = (x[order] for x in (machine, component, failed, back))
    n = len(order)
    return _rows(
        [column.name for column in FAILURES.columns],
        _keys(line, n),
        line.machines.machine_id[machine].tolist(),
        [COMPONENTS[c] for c in component],
        _times(failed),
        _some(np.round((back - failed) / HOUR, 2).tolist(), back < options.end),
        _money(rng.uniform(2_000, 20_000, n)),
    )


def _errors(line: Line, errors: Errors, rng: np.random.Generator) -> Rows:
    n = len(errors.code)
    acknowledged = rng.random(n)
    return _rows(
        [column.name for column in ERRORS.columns],
        _keys(line, n),
        line.machines.machine_id[errors.machine].tolist(),
        [CODES[code] for code in errors.code],
        errors.severity.tolist(),
        _times(errors.raised_at),
        _times(errors.recorded_at),
        _some((acknowledged < 0.6).tolist(), acknowledged < 0.8),
    )


def _observations(options: Options, line: Line, rng: np.random.Generator) -> Rows:
    """One row a machine and three hours while it runs."""
    m = len(line.machines.machine_id)
    step = OBSERVE_EVERY // HOUR
    hours = np.arange(0, options.hours, step)
    machine = np.repeat(np.arange(m), len(hours))
    hour = np.tile(hours, m)
    time = BEGIN + hour * HOUR
    up = ~standing(line, machine, time)
    machine, hour, time = machine[up], hour[up], time[up]
    before = line.machines.age_years[:, None] * 365.25 * 24 * 0.9
    worked = before + np.cumsum(np.pad(line.load[:, :-1] > 0, ((0, 0), (1, 0))), axis=1)
    # A plan knows nothing of standstills to come: the load itself would give failures away.
    plan = line.machines.base_load[machine] + rng.normal(0, 0.04, len(hour))
    return _rows(
        [column.name for column in OBSERVATIONS.columns],
        line.machines.machine_id[machine].tolist(),
        _times(time),
        _times(time + HORIZON),
        np.round(worked[machine, hour], 1).tolist(),
        _some(np.round(plan, 3).tolist(), rng.random(len(hour)) > 0.02),
    )
