"""The verb ``predict``, against the embedded server."""

import os
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from pipeline.predict import command
from tests import patient
from tests.serving.online.conftest import ROOT

pytestmark = pytest.mark.tfx


def call(plant, *words, code=0):
    patience = ["--timeout", "60"]
    result = CliRunner().invoke(command, [*patience, *words], obj=str(plant.settings_file))
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def url(served):
    return f"http://127.0.0.1:{served['rest']}"


@pytest.fixture(autouse=True)
def in_the_plants_folder(plant, monkeypatch):
    monkeypatch.chdir(plant.folder)


def test_one_prediction_tells_its_version_and_what_it_was_made_of(plant, url):
    printed = call(plant, "--entity", "3", "--at", "2025-01-22T07:30:00Z", "--server", url)
    assert "machine_id 3 at 2025-01-22T07:30:00Z" in printed
    assert "probabilities 0." in printed
    assert "by version 7 of plant-failures" in printed
    assert "observations 2025-01-22T06:00:00Z, 1h 30m before" in printed
    assert "telemetry/every_1h 2025-01-22T07:00:00Z, 30m before" in printed
    assert "Features" not in printed
    explained = call(
        plant, "--entity", "3", "--at", "2025-01-22T07:30:00Z", "--server", url, "--explain"
    )
    assert "telemetry_temperature_mean_3h " in explained


def test_the_request_for_curl_is_answered_alike(plant, url):
    words = ["--entity", "3", "--at", "2025-01-22T07:30:00Z", "--server", url]
    body = call(plant, *words, "--body")
    answer = patient.post(f"{url}/v1/models/plant-failures:predict", content=body).json()
    outputs = answer["outputs"]
    probability = outputs["probabilities"][0] if isinstance(outputs, dict) else outputs[0]
    assert f"probabilities {probability:.6g}" in call(plant, *words)


def test_a_model_that_the_server_lacks_is_told_from_one_that_it_loads(plant, url, tmp_path):
    settings = yaml.safe_load(plant.settings_file.read_text())
    settings["serving"]["model"] = "other"
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings))
    words = ["--entity", "3", "--server", url]
    told = CliRunner().invoke(command, words, obj=str(file))
    assert told.exit_code == 1
    assert "NOT_FOUND: the server has no model other, nor is it loading one" in told.output


def test_in_a_process_of_its_own_it_does_without_pandas(plant, url):
    words = ["pipeline", "--settings", str(plant.settings_file), "predict", "--entity", "3"]
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *words, "--server", url],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "probabilities 0." in run.stdout
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "pyarrow" in imported
    assert not imported & {"pandas.core", "tensorflow"}


def test_without_a_time_the_settings_say_which(plant, url):
    printed = call(plant, "--entity", "3", "--server", url)
    assert "machine_id 3 at 2025-02-08T00:00:00Z" in printed


def test_a_stretch_of_time_goes_into_a_file(plant, url, tmp_path):
    file = tmp_path / "predictions.parquet"
    words = ["--from", "2025-01-20", "--to", "2025-01-22", "--output", str(file)]
    printed = call(plant, *words, "--server", url)
    rows = pq.read_table(file).num_rows
    assert f"{rows} predictions in" in printed.replace("\n", "")
    assert f"{rows} by version 7" in printed.replace("\n", "")
    assert "no version in" in call(plant, *words, "--in-process", code=1)


def test_a_stretch_of_time_goes_into_a_table(plant, url, tmp_path, monkeypatch):
    shutil.copy(plant.folder / "var/demo/plant.db", tmp_path / "own.db")
    monkeypatch.setenv("PREDICTIONS_URL", f"sqlite:///{tmp_path}/own.db")
    words = ["--from", "2025-01-20", "--to", "2025-01-21", "--output", "predictions"]
    printed = call(plant, *words, "--output-url-env", "PREDICTIONS_URL", "--server", url)
    assert "predictions in predictions" in printed


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["--entity", "99"], "no row of the spine has this entity", 1),
        (["--entity", "3", "--at", "2026-01-01"], "outside the data", 1),
        (["--entity", "3", "--at", "noon"], "expected an ISO 8601 time", 2),
        (["--entity", "3", "--to", "2025-01-01"], "expected --entity", 2),
        ([], "expected --entity", 2),
        (["--entity", "3", "--server", "localhost"], "expected a URL", 2),
        (
            ["--entity", "3", "--server", "http://127.0.0.1:9", "--timeout", "1"],
            "pipeline serve",
            1,
        ),
        (["--from", "2025-01-02", "--to", "2025-01-01", "--output", "t"], "must lie before", 2),
    ],
)
def test_what_cannot_be_is_told(plant, words, message, code):
    assert message in call(plant, *words, code=code)
