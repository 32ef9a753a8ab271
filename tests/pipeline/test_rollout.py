"""The verb rollout against a real server of metrics."""

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.rollout import command
from tests import demo_project

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location(
    "rollout_fixtures", ROOT / "tests/serving/rollout/conftest.py"
)
fixtures = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fixtures)
users, server = fixtures.users, fixtures.server
QUICK = ("--steps", "10,50", "--min-seconds", "0.1", "--min-requests", "50", "--poll", "0.05")


@pytest.fixture
def releases(tmp_path):
    releases = fixtures.Releases(tmp_path / "serving" / fixtures.MODEL)
    for content in ("1", "2"):
        model = fixtures.saved_model(tmp_path / "m", content)
        releases.push(model, {}, 9, "blessed", rollout="canary")
    return releases


@pytest.fixture
def settings(tmp_path) -> Path:
    text = demo_project.SETTINGS.read_text()
    line = next(line for line in text.splitlines() if line.startswith("serving:"))
    path = tmp_path / "settings.yaml"
    path.write_text(text.replace(line, f"serving: {{model: plant, directory: {tmp_path}/serving}}"))
    return path


def call(settings: Path, *arguments: str):
    return CliRunner().invoke(command, list(arguments), obj=str(settings))


def test_a_good_version_goes_to_stable(settings, releases, server):
    told = call(settings, "--server", server, *QUICK)
    assert told.exit_code == 0, told.output
    assert releases.traffic().labels() == {"stable": 2}
    lines = [json.loads(line) for line in told.output.splitlines() if line.startswith("{")]
    assert [line["what"] for line in lines] == ["available", "canary", "canary", "stable"]
    assert "version 2 canary 50 %" in told.output
    assert "→ stable: " in told.output


def test_a_bad_one_goes_back_and_the_exit_code_says_so(settings, releases, server, users):
    users.errors[2] = 3
    told = call(settings, "--server", server, *QUICK)
    assert told.exit_code == 3, told.output
    assert releases.traffic().labels() == {"stable": 1}
    assert "rolled back: " in told.output


def test_once_for_cron(settings, releases, server):
    codes = set()
    for _ in range(30):
        told = call(settings, "--server", server, "--once", *QUICK)
        codes.add(told.exit_code)
        if "No version is on trial." in told.output:
            break
        time.sleep(0.05)
    assert codes == {0}
    assert releases.traffic().labels() == {"stable": 2}


def test_nothing_to_do(settings, server, users):
    users.releases.promote(2, "by hand")
    told = call(settings, "--server", server)
    assert told.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--steps", "1,x"), "--steps is '1,x'"),
        (("--steps", "50,10"), "expected rising shares"),
        (("--min-requests", "0"), "min_requests is 0: expected at least 1"),
        (("--timeout", "5"), "timeout_seconds is 5: expected more than min_seconds, 60"),
        (("--server", ""), "nothing to read metrics from"),
        (("--psi", "-1"), "psi is -1.0: expected a number of at least 0"),
        (("--metrics", "http://a", "--prometheus", "http://b"), "exclude each other"),
        (("--selector", 'job="a"'), "no effect without --prometheus"),
        (("--once", "--follow"), "exclude each other"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, arguments, told):
    refused = call(settings, *arguments)
    assert refused.exit_code == 1
    assert told in refused.output


def test_before_the_first_version_it_says_how_to_get_one(settings, tmp_path):
    told = call(settings)
    assert told.exit_code == 1
    assert f"no version in {tmp_path}/serving/plant yet: python -m pipeline run" in told.output
    assert not (tmp_path / "serving").exists()


def test_a_disk_that_cannot_be_written_is_told_and_the_trial_stands(
    settings, releases, server, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "releases.json")

    monkeypatch.setattr("serving.rollout.observation.write_atomically", full)
    told = call(settings, "--server", server, *QUICK)
    assert told.exit_code == 1
    assert "releases.json cannot be used: No space left on device" in told.output
    assert releases.statuses()[2].state == "staged"


def test_the_settings_say_what_a_step_asks_and_options_go_before_them(settings, releases, server):
    text = settings.read_text()
    place = "serving: {"
    canary = "canary: {steps: [20], min_seconds: 0.1, min_requests: 50, compare_answers: false}, "
    settings.write_text(text.replace(place, place + canary))
    told = call(settings, "--server", server, "--steps", "30,60", "--poll", "0.05")
    assert told.exit_code == 0, told.output
    shares = [event["percent"] for event in releases.history() if event["what"] == "canary"]
    assert shares == [30, 60]


def test_ctrl_c_leaves_the_trial_as_it_is(settings, releases, server):
    code = (
        "import sys\n"
        "from pipeline.rollout import command\n"
        f"command(sys.argv[1:], obj={str(settings)!r}, prog_name='rollout')\n"
    )
    arguments = ["--server", server, "--steps", "10", "--min-seconds", "60", "--poll", "0.05"]
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 60
    while releases.traffic().percent != 10:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)

    assert child.returncode == 130
    assert "start rollout again to go on" in told
    assert "Traceback" not in told
    assert releases.traffic().percent == 10
