"""The verbs about releases: versions, promote, rollback."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.releases import model_directory, promote, rollback
from pipeline.settings import load_settings
from pipeline.versions import command as versions
from serving.releases import ReleaseError, Releases
from tests import demo_project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path) -> Path:
    text = demo_project.SETTINGS.read_text()
    line = next(line for line in text.splitlines() if line.startswith("serving:"))
    path = tmp_path / "settings.yaml"
    path.write_text(text.replace(line, f"serving: {{model: plant, directory: {tmp_path}/serving}}"))
    return path


@pytest.fixture
def releases(tmp_path, settings) -> Releases:
    """Version 1 retired, 2 stable, 3 staged."""
    releases = Releases(model_directory(str(settings)))
    for content, rollout in (("1", "at_once"), ("2", "at_once"), ("3", "canary")):
        model = tmp_path / "m"
        model.mkdir(exist_ok=True)
        (model / "saved_model.pb").write_text(content)
        releases.push(model, {"metrics": {"auc": 0.9}}, 9, "blessed", rollout=rollout)
    return releases


def call(command, settings: Path, *arguments: str):
    return CliRunner().invoke(command, list(arguments), obj=str(settings))


def test_versions_shows_every_state(settings, releases):
    releases.advance(3, 0, "", "test", {})
    releases.advance(3, 10, "", "test", {})
    told = call(versions, settings)
    assert told.exit_code == 0, told.output
    lines = [line.split("  ")[0].strip() for line in told.output.splitlines()]
    assert lines == ["version", "3 canary 10 %", "2 serves", "1"]

    releases.rollback("p99 is up to 100 ms: 50 ms are allowed")
    told = call(versions, settings).output
    assert "3 quarantined" in told
    assert told.splitlines()[-1] == (
        "3 is quarantined because p99 is up to 100 ms: 50 ms are allowed"
    )


def test_versions_shows_what_is_staged(settings, releases):
    assert "3 staged" in call(versions, settings).output


def test_versions_since_is_a_gate(settings, releases):
    assert call(versions, settings, "--since", "2020-01-01").exit_code == 0
    told = call(versions, settings, "--since", "2999-01-01T00:00:00Z")
    assert told.exit_code == 1
    assert "No version was pushed since 2999-01-01T00:00:00Z: Evaluator or" in told.output
    assert "expected" in call(versions, settings, "--since", "yesterday").output


def test_no_version_at_all_does_not_pass_the_gate(settings):
    assert call(versions, settings).exit_code == 0
    assert call(versions, settings, "--since", "2020-01-01").exit_code == 1


def test_a_version_that_was_taken_back_does_not_pass_the_gate(settings, releases):
    for number in (2, 3):
        releases.rollback("bad", number=number)
    (settings.parent / "serving/plant/1/assets.extra/release.json").write_text("{}")
    assert call(versions, settings, "--since", "2020-01-01").exit_code == 1


def test_rollback_takes_back_the_stable_version(settings, releases):
    told = call(rollback, settings, "--why", "wrong answers")
    assert told.output == "Version 2 is rolled back and quarantined. Version 1 serves.\n"
    assert releases.traffic().stable == 1
    assert releases.history()[-1]["why"] == "wrong answers"


def test_rollback_takes_back_the_one_on_trial_first(settings, releases):
    releases.advance(3, 0, "", "test", {})
    told = call(rollback, settings, "--why", "slow")
    assert told.output == "Version 3 is rolled back and quarantined. Version 2 serves.\n"


def test_rollback_of_a_named_version_is_done_once(settings, releases):
    assert call(rollback, settings, "--why", "slow", "--version", "2").exit_code == 0
    again = call(rollback, settings, "--why", "slow", "--version", "2")
    assert again.exit_code == 1
    assert "version 2 is quarantined because slow" in again.output
    assert releases.traffic().stable == 1


def test_promote(settings, releases):
    assert call(promote, settings, "1", "--why", "known").output == "Version 1 is stable.\n"
    assert releases.traffic().stable == 1
    told = call(promote, settings, "1", "--why", "known")
    assert told.output == "Version 1 is stable already.\n"
    told = call(promote, settings, "9", "--why", "?")
    assert told.exit_code == 1
    assert "no version 9" in told.output


@pytest.mark.parametrize("arguments", [(), ("--why", " ")])
def test_a_reason_is_needed(settings, releases, arguments):
    for command, number in ((rollback, ()), (promote, ("1",))):
        told = call(command, settings, *number, *arguments)
        assert told.exit_code == 2
        assert "--why" in told.output
    assert releases.traffic().stable == 2


def test_where_nothing_was_released(settings):
    told = call(rollback, settings, "--why", "?")
    assert told.exit_code == 1
    assert "no version in" in told.output
    assert not model_directory(str(settings)).exists()


@pytest.mark.parametrize(
    "path", [ROOT / "settings.yaml", *sorted(ROOT.glob("tests/settings/valid/*.yaml"))]
)
def test_the_folder_is_the_one_that_the_settings_say(path):
    said = Path(load_settings(path).serving.model_directory)
    assert model_directory(str(path)) == said


@pytest.mark.parametrize(
    "text",
    ["", "serving: 3", "serving: {}", "serving: {model: 7}", "project: {name: ''}", "a: [", "[1]"],
)
def test_settings_that_name_no_model(tmp_path, text):
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(ReleaseError, match=r"settings\.yaml"):
        model_directory(str(tmp_path / "settings.yaml"))
    with pytest.raises(ReleaseError, match="cannot be read"):
        model_directory(str(tmp_path / "none.yaml"))


def test_a_broken_source_in_the_settings_does_not_stop_a_rollback(settings, releases):
    with settings.open("a") as file:
        file.write("\nnonsense: {kind: [unfinished]}\n")
    assert call(rollback, settings, "--why", "slow").exit_code == 0


def test_a_full_disk_is_told_without_a_traceback(settings, releases, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "releases.json")

    monkeypatch.setattr(Releases, "rollback", full)
    result = CliRunner().invoke(rollback, ["--why", "slow"], obj=str(settings))
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "No space left on device" in result.output


def test_rollback_is_quick_and_imports_nothing_slow(settings, releases):
    code = (
        "import sys\n"
        "from pipeline.releases import rollback\n"
        f"rollback(['--why', 'slow'], obj={str(settings)!r}, standalone_mode=False)\n"
        "slow = ('tensorflow', 'tfx', 'pydantic', 'sqlalchemy', 'numpy', 'grpc')\n"
        "print([name for name in slow if name in sys.modules])\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.stdout.splitlines()[-1] == "[]"
    assert releases.traffic().stable == 1
    assert seconds < 2, f"{seconds:.2f} s of a processor"
