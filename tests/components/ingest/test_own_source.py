"""The source of one's own that docs/sources.md shows, as an installed package, on a real Redis."""

import contextlib
import importlib.util
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from components.ingest import kinds
from components.ingest.conformance import SourceConformance, Subject
from tests import source_rows

pytestmark = pytest.mark.services

ROOT = Path(__file__).resolve().parents[3]
ORDER = ("at", "machine_id", "temperature", "count", "ok", "note")


@pytest.fixture(scope="module")
def server():
    from tests.redis_server import RedisServer

    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with the package ``plant_sources``, installed as pip would."""
    folder = tmp_path_factory.mktemp("installed")
    text = (ROOT / "docs/sources.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(\"\"\"Readings in a Redis stream.*?)```", text, re.DOTALL)
    (point,) = re.findall(r"```toml\n\[.*sources\"\]\nredis = \"(.*)\"\n```", text)
    (folder / "plant_sources.py").write_text(code, encoding="utf-8")
    info = folder / "plant_sources-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: plant-sources\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[tfx_pipeline.sources]\nredis = {point}\n")
    return folder


def add(server, stream, *rows):
    with server.client() as client:
        for row in rows:
            held = {key: row[key] for key in ORDER[1:] if row[key] is not None}
            held["ok"] = str(held["ok"]).lower()
            client.xadd(stream, held, id=f"{row['at'] // 1000}-0")


class TestConformance(SourceConformance):
    @pytest.fixture
    def subject(self, server, package, monkeypatch):
        spec = importlib.util.spec_from_file_location("plant_sources", package / "plant_sources.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "plant_sources", module)
        spec.loader.exec_module(module)
        monkeypatch.setattr(kinds, "AnySource", module.RedisSource)
        monkeypatch.setenv("PLANT_REDIS", server.url)
        monkeypatch.setenv("NOBODY", f"redis://:{server.password}@127.0.0.1:9/0")
        with server.client() as client:
            client.delete("readings")
        rows = source_rows.readings()
        add(server, "readings", *rows)
        how = {
            "kind": "redis",
            "url_env": "PLANT_REDIS",
            "stream": "readings",
            "fields": list(ORDER[1:]),
            "types": {"temperature": "float", "count": "int", "ok": "bool"},
            "entity": "machine_id",
            "time": "at",
            "parts": 2,
            "batch_rows": 3,
        }
        make = module.RedisSource.model_validate
        late = {**source_rows.LATE, "at": rows[-1]["at"] + 1_000_000}
        return Subject(
            source=make(how),
            times=source_rows.TIMES,
            rows=[{key: row[key] for key in ORDER} for row in source_rows.asked()],
            change=lambda: add(server, "readings", late),
            unreachable=make(how | {"url_env": "NOBODY"}),
            broken=make(how | {"types": how["types"] | {"note": "int"}}),
            secrets=(server.password,),
        )


SETTINGS = """
project: {name: plant}
as_of: 2025-04-03
sources:
  observations:
    kind: sql
    url: sqlite:///plant.db
    query: SELECT 'm1' AS machine_id, '2025-04-01 12:00:00' AS seen, 1 AS fails
    entity: machine_id
    time: seen
  vibration:
    kind: redis
    url_env: PLANT_REDIS
    stream: vibration
    fields: [machine_id, temperature]
    types: {temperature: float}
    entity: machine_id
    time: at
    windows: [{size: 3h, aggregate: {temperature: [mean, max]}}]
label: {name: fails}
split: {by: time, train: 1d, eval: 1d}
schema: none.pbtxt
"""


def test_check_finds_the_installed_kind(server, package, tmp_path):
    add(server, "vibration", *source_rows.readings())
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    with contextlib.closing(sqlite3.connect(tmp_path / "plant.db")) as db:
        db.execute("CREATE TABLE unused (a)")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "check"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{package}", "PLANT_REDIS": server.url, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ vibration  redis, redis://127.0.0.1:" in done.stdout
    assert (
        "makes 2 columns: vibration_temperature_mean_3h, vibration_temperature_max_3h"
        in done.stdout
    )
    assert server.password not in done.stdout + done.stderr
