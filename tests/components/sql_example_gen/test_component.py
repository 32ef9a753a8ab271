"""SqlExampleGen as TFX runs it: in this process, over several, and under LocalDagRunner."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.ingest.durations import parse_instant
from components.ingest.examples import read_table, split_files

pytestmark = pytest.mark.tfx

ROOT = Path(__file__).resolve().parents[3]
DAYS = 30
QUERY = "SELECT id, at, value FROM readings WHERE at >= :begin AND at < :end"
SPLIT = '{"by": "time", "train": "10d", "eval": "2d"}'


def beam_arguments(workers: int) -> list[str]:
    mode = "in_memory" if workers == 1 else "multi_processing"
    return [
        "--runner=FnApiRunner",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        "--sdk_container_image=local",
        "--no_pipeline_type_check",
    ]


@pytest.fixture
def url(database):
    rows = [(i % 7, f"2025-04-{1 + i % DAYS:02d} 00:00:00", i / 2) for i in range(DAYS * 100)]
    return database("CREATE TABLE readings (id INTEGER, at TEXT, value REAL)", rows=rows)


def execute(source, folder: Path, workers: int = 1, **properties):
    from tfx.types import standard_artifacts

    from components.ingest.artifacts import QualityReport
    from components.sql_example_gen.executor import Executor

    examples, report = standard_artifacts.Examples(), QualityReport()
    examples.uri, report.uri = str(folder / "examples"), str(folder / "report")
    context = Executor.Context(beam_pipeline_args=beam_arguments(workers))
    what = {
        "name": "readings",
        "source": source.model_dump_json(),
        "as_of": "2025-04-20",
        "split": SPLIT,
        "horizon": "1d",
        "spine": 1,
    }
    Executor(context).Do({}, {"examples": [examples], "report": [report]}, {**what, **properties})
    return examples, json.loads((folder / "report" / "report.json").read_text())


@pytest.mark.parametrize("workers", [1, 2])
def test_each_row_of_the_window_is_written_once(url, make_source, tmp_path, workers):
    source = make_source(
        url=url, query=QUERY, batch_rows=50, partitions={"column": "id", "count": 9}
    )
    examples, report = execute(source, tmp_path, workers)
    files = split_files(examples.uri, "all")
    assert len(files) == 9
    table = read_table(files)
    # as_of 20th, horizon 1d: eval 17th and 18th, embargo 16th, train the ten days before.
    wanted = [i / 2 for i in range(DAYS * 100) if 6 <= 1 + i % DAYS < 19]
    assert sorted(table["value"].to_pylist()) == wanted
    assert set(table["id"].to_pylist()) == set(range(7))
    assert table["at"].to_pylist()[0] % 86_400_000_000 == 0
    assert report["rows"] == len(wanted)
    assert (report["first"], report["last"]) == ("2025-04-06T00:00:00Z", "2025-04-18T00:00:00Z")
    assert report["columns"] == {"id": "int", "at": "time", "value": "float"}
    assert [part["rows"] for part in report["partitions"]][7:] == [0, 0]
    assert sum(part["rows"] for part in report["partitions"]) == len(wanted)
    assert report["rows_outside"] == 0
    assert not (tmp_path / "examples" / ".work").exists()


def test_events_are_read_from_before_the_first_observation(url, make_source, tmp_path):
    source = make_source(
        url=url,
        query=QUERY,
        windows=[{"size": "48h", "aggregate": {"value": ["count"]}}],
    )
    _, report = execute(source, tmp_path, spine=0)
    assert report["asked"]["begin"] == "2025-04-04T00:00:00Z"
    assert report["first"] == "2025-04-04T00:00:00Z"
    assert report["last"] == "2025-04-18T00:00:00Z"


def test_a_workers_error_arrives_as_it_was(database, make_source, tmp_path):
    from components.ingest.errors import DataError

    rows = [(1, "2025-04-10 00:00:00", 1)] * 20 + [(2, "2025-04-10 00:00:00", "broken")]
    url = database("CREATE TABLE readings (id, at, value)", rows=rows)
    source = make_source(url=url, query=QUERY, batch_rows=10)
    with pytest.raises(DataError) as told:
        execute(source, tmp_path)
    assert str(told.value).startswith(
        "readings: column 'value', row 21 (id 2, at '2025-04-10 00:00:00') is 'broken': "
        "this column is read as int; it is text."
    )
    assert not list((tmp_path / "examples" / "Split-all").iterdir())


def test_a_database_that_is_moved_over_in_mid_read_is_told(url, make_source, tmp_path, monkeypatch):
    from components.ingest.errors import DataError
    from components.sql_example_gen import executor

    source = make_source(url=url, query=QUERY, partitions={"column": "id", "count": 3})
    database, plan_parts = tmp_path / "plant.db", executor.plan_parts

    def moved_over(*arguments):
        plan = plan_parts(*arguments)
        shutil.copy(database, tmp_path / "other.db")
        (tmp_path / "other.db").replace(database)
        return plan

    monkeypatch.setattr(executor, "plan_parts", moved_over)
    with pytest.raises(DataError, match="it was removed or moved over while the run read it"):
        execute(source, tmp_path)
    monkeypatch.undo()
    assert execute(source, tmp_path)[1]["rows"] == 1300


def test_a_run_that_is_started_again_ends_the_same(url, make_source, tmp_path):
    source = make_source(url=url, query=QUERY)
    left = tmp_path / "examples" / "Split-all"
    left.mkdir(parents=True)
    (left / "data_tfrecord-00000-of-00001.gz").write_bytes(b"half")
    examples, report = execute(source, tmp_path)
    assert read_table(split_files(examples.uri, "all")).num_rows == report["rows"]


def test_under_local_dag_runner_without_the_password(url, make_source, tmp_path):
    from tfx.orchestration import pipeline
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    from components.sql_example_gen.component import SqlExampleGen

    source = make_source(url_env="PLANT_DB_URL", query=QUERY)
    reader = SqlExampleGen(
        name="readings",
        source=source.model_dump_json(),
        as_of="2025-04-20",
        split=SPLIT,
        horizon="1d",
        spine=1,
        watermark="w1",
        code="c1",
    ).with_id("SqlExampleGen-readings")
    os.environ["PLANT_DB_URL"] = url
    try:
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="reading",
                pipeline_root=str(tmp_path / "root"),
                metadata_connection_config=sqlite_metadata_connection_config(
                    str(tmp_path / "metadata.db")
                ),
                components=[reader],
                beam_pipeline_args=beam_arguments(1),
            )
        )
    finally:
        del os.environ["PLANT_DB_URL"]
    folder = next((tmp_path / "root" / "SqlExampleGen-readings" / "examples").iterdir())
    table = read_table(split_files(str(folder), "all"))
    assert min(table["at"].to_pylist()) == parse_instant("2025-04-06")
    assert b"plant.db" not in (tmp_path / "metadata.db").read_bytes()


KILLED = """
import os, sys, pathlib
from tests.components.sql_example_gen import test_component as t
from components.sql_example_gen import stages
from components.ingest.sources import SqlSource

def die(*_):
    os.kill(os.getpid(), 9)

if sys.argv[3] == "writing":
    stages.WriteShards.finish_bundle = die
else:
    stages._commit = die
t.execute(SqlSource.model_validate_json(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""


@pytest.mark.parametrize("stage", ["writing", "committing"])
def test_a_killed_run_shows_no_shard(url, make_source, tmp_path, stage):
    source = make_source(url=url, query=QUERY)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, source.model_dump_json(), str(tmp_path), stage],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9, done.stderr[-2000:]
    assert not list((tmp_path / "examples" / "Split-all").iterdir())
    examples, report = execute(source, tmp_path)
    assert read_table(split_files(examples.uri, "all")).num_rows == report["rows"] == 1300
