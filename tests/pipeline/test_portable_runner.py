"""The project's Beam stages on a runner elsewhere: a job service and a pool of worker processes.

Both are Beam's own, and processes apart from this one, so that what a stage sends there must find
its way by pickle, and the project's code by import. ``external`` workers are what a container of
this project beside each Flink TaskManager or Spark executor is.
"""

import copy
import dataclasses
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
import yaml

from components.ingest.examples import read_table, split_files
from pipeline.beam import arguments
from pipeline.nodes import example_gen_id
from pipeline.settings import Settings, parse_settings
from tests.ports import free_port

pytestmark = pytest.mark.tfx

DAYS, MACHINES = 12, 6
SPLIT = {"by": "time", "train": "6d", "eval": "2d"}


@dataclasses.dataclass(frozen=True)
class Beam:
    """The two services. ``workers`` counts the worker processes that were started."""

    job_endpoint: str
    worker_pool: str
    log: pathlib.Path

    @property
    def workers(self) -> int:
        return self.log.read_text().count("Starting worker with command")


@pytest.fixture(scope="module")
def beam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beam]:
    folder = tmp_path_factory.mktemp("beam")
    jobs, pool = free_port(), free_port()
    environment = os.environ | {
        # The pool starts its workers by the name `python`, in this project's environment.
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(pathlib.Path.cwd()),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    commands = {
        "jobs": ["runners.portability.local_job_service_main", f"--port={jobs}"],
        "pool": ["runners.worker.worker_pool_main", f"--service_port={pool}"],
    }
    started = []
    for name, (module, *words) in commands.items():
        with (folder / f"{name}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", f"apache_beam.{module}", *words],
                    cwd=folder,
                    env=environment,
                    stdout=log,
                    stderr=log,
                )
            )
    try:
        deadline = time.monotonic() + 120
        for port in (jobs, pool):
            while socket.socket().connect_ex(("localhost", port)):
                assert time.monotonic() < deadline, "Beam's services do not listen"
                time.sleep(0.2)
        yield Beam(f"localhost:{jobs}", f"localhost:{pool}", folder / "pool.log")
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a small plant: observations in a database, readings in two files."""
    folder = tmp_path_factory.mktemp("plant")
    with sqlite3.connect(folder / "plant.db") as database:
        database.execute("CREATE TABLE observations (machine INTEGER, at TEXT, load REAL, fails)")
        database.executemany(
            "INSERT INTO observations VALUES (?, ?, ?, ?)",
            [
                (machine, f"2025-04-{day:02d} {hour:02d}:00:00", day + hour / 24, machine % 2)
                for machine in range(MACHINES)
                for day in range(1, DAYS + 1)
                for hour in (0, 6, 12, 18)
            ],
        )
    for part in range(2):
        rows = [
            {
                "machine": machine,
                "ts": f"2025-04-{day:02d}T{hour:02d}:30:00Z",
                "temperature": 20.0 + machine + hour / 10,
            }
            for machine in range(part, MACHINES, 2)
            for day in range(1, DAYS + 1)
            for hour in range(24)
        ]
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / f"{part}.jsonl").write_text(text)
    return {
        "project": {"name": "plant"},
        "sources": {
            "observations": {
                "kind": "sql",
                "url": f"sqlite:///{folder}/plant.db",
                "query": "SELECT machine, at, load, fails FROM observations "
                "WHERE at >= :begin AND at < :end",
                "entity": "machine",
                "time": "at",
                "partitions": {"column": "machine", "count": 3},
            },
            "telemetry": {
                "kind": "sensor",
                "path": f"{folder}/*.jsonl",
                "entity": "machine",
                "time": {"column": "ts"},
                "channels": {"temperature": {"range": [0, 100]}},
                "windows": [{"size": "3h", "every": "1h", "aggregate": ["mean", "count"]}],
            },
        },
        "label": {"name": "fails", "horizon": "1d"},
        "split": SPLIT,
    }


def run(settings: Settings, folder: pathlib.Path) -> dict[str, pa.Table]:
    """Runs the sources and the join; gives each split of each, in one order."""
    from tfx.types import standard_artifacts

    from components.ingest.artifacts import QualityReport, Quarantine
    from components.point_in_time_join.executor import Executor as Join
    from components.sensor_example_gen.executor import Executor as Sensor
    from components.sql_example_gen.executor import Executor as Sql

    told = {
        "as_of": f"2025-04-{DAYS}T00:00:00Z",
        "split": settings.split.model_dump_json(),
        "horizon": "1d",
    }
    splits, made = {}, {}

    def execute(cls: Any, node: str, inputs: dict[str, Any], properties: dict[str, Any]) -> Any:
        outputs = {
            "examples": [standard_artifacts.Examples()],
            "report": [QualityReport()],
            "quarantine": [Quarantine()],
        }
        for key, (artifact,) in outputs.items():
            artifact.uri = str(folder / node / key)
        context = cls.Context(beam_pipeline_args=arguments(settings)[node])
        cls(context).Do(inputs, outputs, properties)
        (examples,) = outputs["examples"]
        for split in json.loads(examples.split_names):
            table = read_table(split_files(examples.uri, split))
            names = sorted(table.column_names)
            order = [(name, "ascending") for name in ("machine", "at", "time") if name in names]
            splits[f"{node}/{split}"] = table.select(names).sort_by(order)
        return outputs["examples"]

    for name, cls in (("observations", Sql), ("telemetry", Sensor)):
        source = settings.sources[name].model_dump_json()
        properties = {**told, "name": name, "source": source, "spine": 1, "watermark": ""}
        made[name] = execute(cls, example_gen_id(settings, name), {}, properties)
    execute(
        Join,
        "PointInTimeJoin",
        {"spine": made["observations"], "source_telemetry": made["telemetry"]},
        {"settings": settings.join_settings(), "as_of": told["as_of"]},
    )
    return splits


def elsewhere(plant: dict[str, Any], beam: Beam) -> Settings:
    """Settings whose Beam work is done by the pool's workers."""
    portable = {
        "runner": "portable",
        "job_endpoint": beam.job_endpoint,
        "environment": {"kind": "external", "address": beam.worker_pool},
    }
    return parse_settings(yaml.safe_dump(plant | {"beam": {"__default__": portable}}))


def test_examples_are_those_of_this_machine(
    beam: Beam, plant: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    here = run(parse_settings(yaml.safe_dump(plant)), tmp_path / "here")
    assert beam.workers == 0
    found = run(elsewhere(plant, beam), tmp_path / "elsewhere")
    assert beam.workers >= 3
    assert set(here) == {
        "SqlExampleGen-observations/all",
        "SensorExampleGen-telemetry/every_1h",
        "PointInTimeJoin/train",
        "PointInTimeJoin/eval",
    }
    for name, table in here.items():
        assert table.num_rows > 40, name
        assert found[name].equals(table), name


def test_a_workers_error_arrives_as_it_was(
    beam: Beam, plant: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    from components.ingest.errors import DataError

    broken = copy.deepcopy(plant)
    spine = broken["sources"]["observations"]
    # The first rows, from which the columns' types are told, are right.
    late = "CASE WHEN at < '2025-04-09' THEN 1 ELSE 'broken' END AS load"
    spine |= {"query": spine["query"].replace("load", late), "batch_rows": 10}
    del spine["partitions"]
    before = beam.workers
    with pytest.raises(DataError, match=r"^observations: column 'load', row .* is 'broken'"):
        run(elsewhere(broken, beam), tmp_path)
    assert beam.workers > before
