"""A small plant in a database of any kind: machines, hourly telemetry, errors and failures."""

import datetime
import random

import pytest
import sqlalchemy as sa

BEGIN = datetime.datetime(2025, 1, 1)
HOURS = 24 * 20
MACHINES = 4
HORIZON = datetime.timedelta(hours=24)


def failures() -> list[tuple[int, datetime.datetime]]:
    """Which machine failed when: every four days or so, off the full hour."""
    draw = random.Random(3)
    return [
        (machine, BEGIN + datetime.timedelta(hours=96 * n + draw.randint(1, 90), minutes=17))
        for machine in range(1, MACHINES + 1)
        for n in range(5)
    ]


def fill(engine: sa.Engine) -> None:
    """Makes the plant's tables."""
    meta = sa.MetaData()
    text = sa.String(40)
    machines = sa.Table(
        "machines",
        meta,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("Model Name", text),
        sa.Column("age", sa.Integer),
        sa.Column("maker", text),
    )
    telemetry = sa.Table(
        "telemetry",
        meta,
        sa.Column("machine_id", sa.ForeignKey("machines.id")),
        sa.Column("measured_at", sa.DateTime),
        sa.Column("volt", sa.Float),
        sa.Column("pressure", sa.Float),
    )
    errors = sa.Table(
        "errors",
        meta,
        sa.Column("error_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("machine_id", sa.ForeignKey("machines.id")),
        sa.Column("raised_at", sa.DateTime),
        sa.Column("recorded_at", sa.DateTime),
        sa.Column("code", text),
        sa.Column("remark", text),
    )
    failed = sa.Table(
        "failures",
        meta,
        sa.Column("machine_id", sa.ForeignKey("machines.id")),
        sa.Column("failed_at", sa.DateTime),
        sa.Column("cost", sa.Float),
    )
    meta.create_all(engine)
    draw = random.Random(5)
    hour, second = datetime.timedelta(hours=1), datetime.timedelta(seconds=1)
    rows = {
        machines: [
            {"id": m, "Model Name": "AB"[m % 2], "age": m, "maker": "one"}
            for m in range(1, MACHINES + 1)
        ],
        telemetry: [
            {
                "machine_id": m,
                "measured_at": BEGIN + h * hour,
                "volt": draw.gauss(170, 10),
                "pressure": draw.gauss(100, 5),
            }
            for m in range(1, MACHINES + 1)
            for h in range(HOURS)
        ],
        errors: [
            {
                "error_id": n,
                "machine_id": n % MACHINES + 1,
                "raised_at": (at := BEGIN + draw.random() * HOURS * hour),
                "recorded_at": at + 2 * second,
                "code": f"it's {n % 3}:0",
                "remark": f"remark {n}",
            }
            for n in range(120)
        ],
        failed: [{"machine_id": m, "failed_at": at, "cost": m + 0.5} for m, at in failures()],
    }
    with engine.begin() as connection:
        for table, values in rows.items():
            connection.execute(table.insert(), values)


@pytest.fixture
def sqlite_plant(tmp_path, monkeypatch):
    """A SQLite file with the plant, in the working directory; its URL."""
    monkeypatch.chdir(tmp_path)
    url = "sqlite:///plant.db"
    engine = sa.create_engine(url)
    fill(engine)
    engine.dispose()
    return url
