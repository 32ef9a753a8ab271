"""``check``: what it shows of good sources, and what it says of each thing that is wrong."""

import io
import sqlite3

import pytest
from click.testing import CliRunner
from rich.console import Console

from pipeline.check import check, command
from pipeline.settings import parse_settings

SETTINGS = """
project: {name: plant-failures}
as_of: 2025-01-10
sources:
  observations:
    kind: sql
    url: sqlite:///plant.db
    query: SELECT * FROM observations WHERE observed_at >= :begin AND observed_at < :end
    entity: machine_id
    time: observed_at
    connect_attempts: 1
  errors:
    kind: sql
    query: SELECT * FROM errors WHERE raised_at >= :begin AND raised_at < :end
    entity: machine_id
    time: raised_at
    windows: [{size: 24h, aggregate: {error_id: [count]}}]
  telemetry:
    kind: sensor
    path: telemetry/*.csv
    entity: machine_id
    time: {column: ts}
    channels: {temperature: {}}
    windows: [{size: 3h, aggregate: [mean]}]
label: {name: fails, horizon: 24h}
split: {by: time, train: 5d, eval: 2d}
features: {numeric: [load, telemetry_*], categorical: [model]}
evaluation: {slices: [[model]]}
"""
FEATURES = {
    "machine_id": "INT",
    "observed_at": "INT",
    "fails": "INT",
    "load": "FLOAT",
    "model": "BYTES",
    "telemetry_temperature_mean_3h": "FLOAT",
}


@pytest.fixture
def plant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("plant.db") as db:
        db.execute(
            "CREATE TABLE observations (machine_id INTEGER, observed_at TIMESTAMP, "
            "model TEXT, load REAL, fails INTEGER)"
        )
        db.execute("CREATE TABLE errors (machine_id INTEGER, raised_at TIMESTAMP, error_id TEXT)")
        for day in range(1, 10):
            at = f"2025-01-{day:02d} 00:00:00"
            db.execute("INSERT INTO observations VALUES (7, ?, 'C3', 0.5, 0)", (at,))
            db.execute("INSERT INTO errors VALUES (7, ?, 'E1')", (at,))
    (tmp_path / "telemetry").mkdir()
    (tmp_path / "telemetry" / "a.csv").write_text(
        "machine_id,ts,temperature\n7,2025-01-02T00:00,40\n"
    )
    write_schema(tmp_path, FEATURES)
    return tmp_path


def write_schema(folder, features):
    text = "".join(
        f'feature {{ name: "{name}" type: {kind} value_count {{ min: 1 max: 1 }} }}\n'
        for name, kind in features.items()
    )
    (folder / "schemas").mkdir(exist_ok=True)
    (folder / "schemas" / "schema.pbtxt").write_text(text)


def run(text=SETTINGS, as_of=None):
    console = Console(file=io.StringIO(), width=200)
    code = check(parse_settings(text), console, as_of)
    return code, console.file.getvalue()


def test_all_is_well(plant):
    code, told = run()
    assert code == 0, told
    assert "✓ observations  sql, sqlite:///plant.db" in told
    assert "✓ telemetry  sensor, 1 files" in told
    assert "2025-01-02T00:00:00Z to 2025-01-07T00:00:00Z" not in told
    assert "train               2025-01-01T00:00:00Z to 2025-01-06T00:00:00Z" in told
    assert "embargo             2025-01-06T00:00:00Z to 2025-01-07T00:00:00Z" in told
    assert "eval                2025-01-07T00:00:00Z to 2025-01-09T00:00:00Z" in told
    assert "count over 24h" in told
    assert "makes 1 columns: telemetry_temperature_mean_3h" in told
    assert "6 columns; features: 2 numeric, 1 categorical" in told


def test_as_of_replaces_the_settings(plant):
    code, told = run(as_of="2030-01-01")
    assert code == 1
    assert "✗ observations  query: it gives no rows from 2029-12-23T00:00:00Z" in told
    assert "✓ telemetry" in told


def test_latest_is_the_newest_label_settled(plant):
    _, told = run(SETTINGS.replace("as_of: 2025-01-10", "as_of: latest"))
    assert "as of 2025-01-10T00:00:00" in told


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sqlite:///plant.db", "sqlite:///plants.db", "plants.db"),
        ("FROM errors", "FROM erors", "erors"),
        (
            "name: fails,",
            "name: failed,",
            "observations  column 'failed': the source doesn't give it; did you mean 'fails'?",
        ),
        (
            "{error_id: [count]}",
            "{errorid: [count]}",
            "errors  column 'errorid': the source doesn't give it; did you mean 'error_id'?",
        ),
        (
            "    time: raised_at\n",
            "    time: raised_at\n    incremental:\n      watermark: SELECT COUNT(*) FROM errors"
            " WHERE raised >= :begin AND raised < :end\n",
            "no such column: raised",
        ),
        ("telemetry/*.csv", "telemetri/*.csv", "telemetri"),
        ("{temperature: {}}", "{temprature: {}}", "Did you mean 'temperature'?"),
        (
            "[load, telemetry_*]",
            "[laod]",
            "features.numeric: 'laod' is no column of the schema; did you mean 'load'?",
        ),
        (
            "slices: [[model]]",
            "slices: [[modle]]",
            "evaluation.slices[0]: 'modle' is no column of the schema; did you mean 'model'?",
        ),
        ("slices: [[model]]", "slices: [[load]]", "evaluation.slices[0]: 'load' is float"),
    ],
)
def test_what_is_wrong_is_told_and_fails(plant, old, new, message):
    assert SETTINGS.count(old) == 1
    code, told = run(SETTINGS.replace(old, new))
    assert code == 1
    assert message in told
    assert "✗" in told


def test_one_bad_source_does_not_hide_the_others(plant):
    code, told = run(SETTINGS.replace("FROM errors", "FROM erors"))
    assert code == 1
    assert "✓ observations" in told
    assert "✓ telemetry" in told


def test_a_schema_that_is_not_there_yet_is_a_note(plant):
    (plant / "schemas" / "schema.pbtxt").unlink()
    code, told = run()
    assert code == 0
    assert "! schema  schemas/schema.pbtxt isn't there yet" in told
    assert "schema infer" in told


def test_a_broken_schema_fails_with_its_line(plant):
    (plant / "schemas" / "schema.pbtxt").write_text("feature {\n  nam: 'x'\n}\n")
    code, told = run()
    assert code == 1
    assert "schemas/schema.pbtxt, line 2" in told


def test_passwords_are_not_shown(plant, monkeypatch):
    monkeypatch.setenv("PLANT_URL", "postgresql+psycopg://me:hunter2@127.0.0.1:1/plant")
    code, told = run(SETTINGS.replace("url: sqlite:///plant.db", "url_env: PLANT_URL"))
    assert code == 1
    assert "hunter2" not in told


def test_the_command_ends_with_one_on_bad_settings(plant):
    (plant / "settings.yaml").write_text(SETTINGS.replace("channels:", "chanels:"))
    done = CliRunner().invoke(command, [], obj="settings.yaml")
    assert done.exit_code == 1
    assert "unknown key; did you mean 'channels'?" in done.output.replace("\n", " ")
    (plant / "settings.yaml").write_text(SETTINGS)
    assert CliRunner().invoke(command, [], obj="settings.yaml").exit_code == 0
