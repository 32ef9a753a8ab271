"""The collector as a process of its own: its settings, its log, its end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from components.ingest.durations import parse_instant
from components.ingest.sensor.features import SensorWindows, sensor_windows
from components.ingest.sensor.source import SensorSource
from pipeline.settings import parse_settings
from tests.pipeline.collect.conftest import reading
from tests.postgres import wait_until

ROOT = Path(__file__).parents[3]
SECONDS = 60


def settings_text(folder: Path, address: str, **changes) -> str:
    """settings.yaml of a project whose telemetry comes from the broker into ``folder``."""
    kinds = {
        "mqtt": {"address": address, "topics": ["plant/+/readings"], "client_id": "collector"},
        "kafka": {"brokers": [address], "topics": ["readings"], "group": "collector"},
    }
    kind = changes.pop("kind", "mqtt")
    stream = {
        "kind": kind,
        **kinds[kind],
        "fields": {"received_at": "received_at"},
        "directory": str(folder),
        "flush": {"every": "200ms"},
        "metrics": None,
    }
    told = {
        "project": {"name": "plant"},
        "spine": "rows",
        "sources": {
            "rows": {
                "kind": "sql",
                "url": "sqlite:///plant.db",
                "query": "SELECT 1",
                "entity": "machine",
                "time": "at",
            },
            "telemetry": {
                "kind": "sensor",
                "path": f"{folder}/readings/**/*.parquet",
                "entity": "machine",
                "gateway": "gateway",
                "time": {"column": "ts", "received_at": "received_at"},
                "channels": {"temperature": {}, "pressure": {}},
                "windows": [{"size": "3h", "every": "1h", "aggregate": ["mean", "count"]}],
                "max_rejected": 1,
            },
        },
        "collect": {"telemetry": stream | changes},
        "label": {"name": "fails"},
        "split": {"by": "time", "train": "60d", "eval": "14d"},
    }
    return yaml.safe_dump(told)


class Running:
    """``python -m pipeline collect`` as a process."""

    def __init__(self, folder: Path, address: str, environment=None, **changes) -> None:
        self.folder = folder
        self.text = settings_text(folder, address, **changes)
        self.log = folder.with_suffix(".log")
        self._environment = os.environ | (environment or {})

    def __enter__(self) -> "Running":
        settings = self.folder.with_suffix(".yaml")
        settings.write_text(self.text)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pipeline", "--settings", settings),
                    *("collect", "--log-format", "json"),
                ],
                cwd=ROOT,
                env=self._environment,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def says(self, text: str, times: int = 1) -> bool:
        return len(re.findall(text, self.log.read_text())) >= times

    def wait_for(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.says(text, times), SECONDS)


def rows(count: int, first: int = 0) -> list[dict]:
    own = {"received_at": "2025-03-01T20:00:00Z"}
    return [reading(m, gateway=f"g{m % 2}", **own) for m in range(first, first + count)]


def source_of(text: str) -> SensorSource:
    source = parse_settings(text).sources["telemetry"]
    assert isinstance(source, SensorSource)
    return source


def windows(source: SensorSource) -> SensorWindows:
    begin, end = parse_instant("2025-03-01"), parse_instant("2025-03-02")
    return sensor_windows("telemetry", source, begin, end)
