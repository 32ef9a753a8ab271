"""The verb: what it listens on and how it ends."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pipeline.__main__ import main
from tests import patient


def call(settings: pathlib.Path, *arguments: str) -> tuple[int, str]:
    told = CliRunner().invoke(main, [f"--settings={settings}", "ui", *arguments])
    return told.exit_code, told.output


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_and_ends_cleanly(project: pathlib.Path, stop: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", f"--settings={project}", "ui", "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "20"},
    )
    assert process.stdout is not None
    try:
        found = re.match(r"(http://127\.0\.0\.1:\d+/\?key=\S+)  ", process.stdout.readline())
        assert found is not None
        answer = patient.get(found[1], follow_redirects=True)
        assert "<h1>Runs</h1>" in answer.text
    finally:
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_it_starts_without_tensorflow(project: pathlib.Path) -> None:
    code = (
        "import sys, pipeline.ui.app\n"
        "print([m for m in ('tensorflow', 'tfx', 'apache_beam') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_port_in_use_is_told(project: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = call(project, "--port", str(port))
    assert code == 1
    assert f"port {port} of 127.0.0.1 can't be listened on: Address already in use" in told
    assert "--port" in told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.com"])
def test_others_cannot_be_let_in(project: pathlib.Path, host: str) -> None:
    code, told = call(project, "--host", host)
    assert code == 1
    assert f"--host {host}: this page moves versions" in told
    assert "ssh -L 8080:127.0.0.1:8080" in told


def test_broken_settings_are_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "settings.yaml").write_text("project: {}")
    code, told = call(tmp_path / "settings.yaml")
    assert code == 1
    assert "project.name" in told
