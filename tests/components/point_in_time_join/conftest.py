"""A small plant: settings and tables that tests change in one place."""

import copy

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.durations import parse_instant
from components.point_in_time_join.settings import JoinSettings

DAY = 86_400_000_000
HOUR = DAY // 24
AS_OF = parse_instant("2025-04-01")


class Plant:
    """Twelve machines, observed every six hours for thirty days, with events and telemetry."""

    def __init__(self):
        generator = np.random.default_rng(11)
        machines, times = np.meshgrid(np.arange(12), AS_OF - np.arange(121)[::-1] * 6 * HOUR)
        machines, times = machines.ravel(), times.ravel()
        self.spine = pa.table(
            {
                "machine_id": machines,
                "observed_at": times,
                "fails": generator.integers(0, 2, len(machines)),
                "load": generator.normal(size=len(machines)).astype(np.float32),
            }
        )
        happened = AS_OF - generator.integers(0, 34 * DAY, 800)
        self.errors = pa.table(
            {
                "machine_id": generator.integers(0, 12, 800),
                "raised_at": happened,
                "recorded_at": happened + generator.integers(0, 3 * HOUR, 800),
                "code": pa.array([b"E1", b"E2"] * 400),
                "severity": generator.integers(1, 6, 800),
            }
        )
        machines, times = np.meshgrid(np.arange(12), AS_OF - np.arange(35 * 24) * HOUR)
        machines, times = machines.ravel(), times.ravel()
        self.telemetry = pa.table(
            {
                "machine_id": machines,
                "time": times,
                "known_at": times + generator.integers(0, HOUR, len(times)),
                "temperature_mean_3h": generator.normal(20, 3, len(times)).astype(np.float32),
            }
        )
        self.machines = pa.table(
            {
                "machine_id": np.arange(12),
                "since": np.full(12, AS_OF - 400 * DAY),
                "model": pa.array([b"A", b"B", b"C"] * 4),
            }
        )
        self.settings = {
            "name": "observations",
            "spine": _sql(time="observed_at"),
            "sources": {
                "errors": _sql(
                    time="raised_at",
                    known_at="recorded_at",
                    windows=[
                        {"size": "24h", "aggregate": {"code": ["count"], "severity": ["max"]}}
                    ],
                ),
                "machines": _sql(time="since"),
                "telemetry": {
                    "kind": "sensor",
                    "path": "telemetry.csv",
                    "entity": "machine_id",
                    "time": {"column": "ts"},
                    "channels": {"temperature": {}},
                    "windows": [{"size": "3h", "every": "1h", "aggregate": ["mean"]}],
                },
            },
            "split": {"by": "time", "train": "20d", "eval": "6d"},
            "horizon": "24h",
            "label": {"name": "fails", "task": "binary"},
        }

    @property
    def tables(self):
        return {
            "errors": {"all": self.errors},
            "machines": {"all": self.machines},
            "telemetry": {"every_1h": self.telemetry},
        }

    def parsed(self):
        return JoinSettings.model_validate(copy.deepcopy(self.settings))


def _sql(**fields):
    return {"kind": "sql", "query": "SELECT 1", "entity": "machine_id", **fields}


@pytest.fixture
def plant():
    return Plant()
