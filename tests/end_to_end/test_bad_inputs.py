"""Inputs that are wrong, through the command line: what is printed says what to mend."""

import pathlib
import re
import sqlite3
import subprocess

import pytest
import yaml

from tests.end_to_end.conftest import Project, make_project

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("small"), machines=6, days=55)


@pytest.fixture
def settings(small: Project) -> dict:
    """The settings as a dictionary to spoil; the file is as before afterwards."""
    before = small.settings_file.read_text()
    yield yaml.safe_load(before)
    small.settings_file.write_text(before)


def spine(settings: dict, **changes: object) -> dict:
    sources = settings["sources"]
    return sources | {"observations": sources["observations"] | changes}


def test_unknown_key_is_told_before_anything_starts(small: Project, settings: dict) -> None:
    small.change(trainning={"epochs": 3})
    printed = small.call("run", code=1)
    assert "trainning: unknown key; did you mean 'training'?" in printed


def test_missing_database_file(small: Project, settings: dict) -> None:
    small.change(sources=spine(settings, url="sqlite:///var/demo/plnt.db"))
    printed = small.call("run", code=1)
    assert "there is no file" in printed
    assert "plnt.db" in printed
    # Told before TFX is imported: no run was begun.
    assert "SqlExampleGen" not in printed


def test_password_is_nowhere(small: Project, settings: dict) -> None:
    url = "postgresql://plant:secret-word@127.0.0.1:9/plant"
    small.change(sources=spine(settings, connect_attempts=1))
    printed = small.call("run", code=1, PLANT_DB_URL=url)
    assert "no database answers there" in printed
    assert "secret-word" not in printed
    leaks = [
        path
        for path in (small.folder / "var").rglob("*")
        if path.is_file() and b"secret-word" in path.read_bytes()
    ]
    assert leaks == []


def test_missing_column(small: Project, settings: dict) -> None:
    query = settings["sources"]["observations"]["query"].replace("m.model", "m.modell")
    small.change(sources=spine(settings, query=query))
    printed = small.call("run", code=1)
    assert "SqlExampleGen-observations failed." in printed
    assert "names a column that is not there (no such column: m.modell)" in printed


def test_one_class_only(small: Project, settings: dict) -> None:
    query = re.sub(
        r"CASE WHEN EXISTS.*END AS",
        "0 AS",
        settings["sources"]["observations"]["query"],
        flags=re.S,
    )
    small.change(sources=spine(settings, query=query))
    printed = small.call("run", code=1)
    assert "PointInTimeJoin failed." in printed
    assert re.search(r"label 'fails_within_24h': all [\d,]+ examples .* have class 0", printed)


def test_anomaly_stops_the_run(small: Project, settings: dict) -> None:
    database = sqlite3.connect(small.folder / "var/demo/plant.db")
    with database:
        database.execute("UPDATE machines SET site = 'the moon'")
    database.close()
    printed = small.call("run", code=1)
    assert "AnomalyGate failed." in printed
    assert "site" in printed
    assert "the moon" in printed
    assert "mend:" in printed
    record = small.runs[-1]
    assert record["nodes"]["AnomalyGate"] == "failed"
    # Where there is a processor for it, Transform worked ahead of the gate, for nothing.
    assert record["nodes"]["Transform"] in ("stopped", "waiting")
    assert "RUNNING" not in small.execution_states
    assert {record["nodes"][node] for node in ("Trainer", "VersionPusher")} == {"waiting"}
    assert small.versions() == []
    page = (record["folder"] / "report.html").read_text()
    assert "Stopped: the data is not what the model expects" in page
    assert "the moon" in page and "cannot be shown" not in page
    metrics = (small.folder / "var/metrics/pipeline.prom").read_text()
    assert 'pipeline_run_success{pipeline="plant-failures"} 0.0' in metrics
    failed = 'pipeline_stage_state{pipeline="plant-failures",stage="AnomalyGate",state="failed"}'
    assert f"{failed} 1.0" in metrics
    stops = r'pipeline_anomalies\{kind="schema",outcome="stops",pipeline="plant-failures"\} [1-9]'
    assert re.search(stops, metrics)
    assert "pipeline_last_success_timestamp_seconds{" not in metrics


@pytest.mark.services
def test_full_disk(tmp_path: pathlib.Path) -> None:
    """On a small tmpfs; mounting one needs root, as installing services does."""
    disk = tmp_path / "disk"
    disk.mkdir()
    project = make_project(tmp_path / "project")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=True)
    try:
        project.change(run={"directory": str(disk / "var")})
        printed = project.call("run", code=1)
        assert "No space left on device (0 of 3 MiB free)" in printed
        assert "run.directory" in printed
        assert project.versions() == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    project.change(run={"directory": "var"})
    project.call("run")
    assert project.versions() == [1]
