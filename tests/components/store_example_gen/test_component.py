"""StoreExampleGen as TFX runs it, and prediction from the same store."""

import datetime
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

from components.ingest.durations import format_instant
from components.ingest.examples import read_table, split_files
from pipeline.settings import parse_settings
from tests import source_rows
from tests.mongo import MongoStandIn

pytestmark = pytest.mark.tfx

SETTINGS = """
project: {{name: plant}}
as_of: 2025-04-03
sources:
  observations:
    kind: sql
    url: sqlite:///{folder}/plant.db
    query: SELECT * FROM observations WHERE seen >= :begin AND seen < :end
    entity: machine_id
    time: seen
  checks:
    kind: mongo
    url_env: PLANT_MONGO
    collection: readings
    fields: {{machine_id: machine.id, at: at, temperature: values.temperature}}
    entity: machine_id
    time: at
    partitions: {{column: at, count: 3}}
    batch_rows: 4
    watermark: at
    windows: [{{size: 6h, aggregate: {{temperature: [count, max]}}}}]
label: {{name: fails}}
split: {{by: time, train: 1d, eval: 1d}}
"""
ROWS = source_rows.readings()


@pytest.fixture
def server(monkeypatch):
    def document(row):
        at = datetime.datetime.fromtimestamp(row["at"] / 1e6, datetime.timezone.utc)
        values = {"temperature": row["temperature"]}
        return {"_id": row["count"], "machine": {"id": row["machine_id"]}, "at": at} | {
            "values": values
        }

    with MongoStandIn({"readings": [document(row) for row in ROWS]}) as server:
        monkeypatch.setenv("PLANT_MONGO", server.url)
        yield server


@pytest.fixture
def settings(tmp_path):
    with sqlite3.connect(tmp_path / "plant.db") as db:
        db.execute("CREATE TABLE observations (machine_id TEXT, seen TEXT, fails INTEGER)")
        seen = [("m0", "2025-04-01 12:00:00", 0), ("m1", "2025-04-01 12:00:00", 1)]
        db.executemany("INSERT INTO observations VALUES (?, ?, ?)", seen)
    db.close()
    return parse_settings(SETTINGS.format(folder=tmp_path))


def test_under_local_dag_runner_over_two_processes(server, settings, tmp_path):
    from tfx.orchestration import pipeline
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    from components.store_example_gen.component import StoreExampleGen

    source = settings.sources["checks"]
    as_of = source_rows.DAY + 48 * source_rows.HOUR
    reader = StoreExampleGen(
        name="checks",
        source=source.model_dump_json(),
        as_of=format_instant(as_of),
        split=settings.split.model_dump_json(),
        watermark=source.fingerprint("checks", as_of),
    ).with_id("StoreExampleGen-checks")
    LocalDagRunner().run(
        pipeline.Pipeline(
            pipeline_name="reading",
            pipeline_root=str(tmp_path / "root"),
            metadata_connection_config=sqlite_metadata_connection_config(
                str(tmp_path / "metadata.db")
            ),
            components=[reader],
            beam_pipeline_args=[
                "--runner=FnApiRunner",
                "--direct_running_mode=multi_processing",
                "--direct_num_workers=2",
                "--sdk_container_image=local",
            ],
        )
    )
    folder = next((tmp_path / "root" / "StoreExampleGen-checks" / "examples").iterdir())
    files = split_files(str(folder), "all")
    assert len(files) == 3
    found = read_table(files).sort_by("at")
    assert found["at"].to_pylist() == [row["at"] for row in ROWS]
    assert found["temperature"].to_pylist() == [row["temperature"] for row in ROWS]
    assert server.password.encode() not in (tmp_path / "metadata.db").read_bytes()
    assert server.password not in "".join(
        path.read_text() for path in Path(tmp_path, "root").rglob("report.json")
    )


def test_prediction_asks_the_store_for_the_entity(server, settings):
    from serving.online.features import FeatureReader

    server.commands.clear()
    noon = source_rows.DAY + 12 * source_rows.HOUR
    found = FeatureReader(settings).at("m1", noon).table
    # The hours 7, 9 and 11: those of m1 in the six hours before, and none at noon itself.
    assert found["checks_temperature_count_6h"].to_pylist() == [3]
    assert found["checks_temperature_max_6h"].to_pylist() == [31.5]
    assert isinstance(found, pa.Table)
    assert "aggregate" in server.commands
