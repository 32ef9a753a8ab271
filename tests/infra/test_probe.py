"""The probe script that runs in TensorFlow Serving's image, run by bash against a real server."""

import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.conftest import INFRA
from tests.ports import free_port

SERVING = INFRA / "serving"
ANSWER = """{{
 "model_version_status": [
  {{
   "version": "1",
   "state": "{state}",
   "status": {{
    "error_code": "OK",
    "error_message": ""
   }}
  }}
 ]
}}
"""


class StatusServer(http.server.ThreadingHTTPServer):
    """Answers a model's status as TensorFlow Serving words it."""

    state = "AVAILABLE"
    code = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: StatusServer

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        body = ANSWER.format(state=self.server.state).encode()
        self.send_response(self.server.code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[StatusServer]:
    with StatusServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def probe(
    what: str, port: int, config: Path = SERVING / "stable/models.config"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", str(SERVING / "probe.sh"), what, str(config), str(port)],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("what", ["ready", "alive"])
def test_an_available_version_is_ready_and_alive(server: StatusServer, what: str) -> None:
    result = probe(what, server.server_port)
    assert (result.returncode, result.stdout) == (0, "")
    path = "/v1/models/plant-failures"
    assert server.paths == [f"{path}/versions/1" if what == "ready" else path]


@pytest.mark.parametrize("state", ["START", "LOADING", "UNLOADING", "END"])
def test_any_other_state_is_alive_but_not_ready(server: StatusServer, state: str) -> None:
    server.state = state
    result = probe("ready", server.server_port)
    assert result.returncode == 1
    assert result.stdout == "/v1/models/plant-failures/versions/1 is not AVAILABLE\n"
    assert probe("alive", server.server_port).returncode == 0


def test_a_version_that_the_server_does_not_know_is_not_ready(server: StatusServer) -> None:
    server.code = 404
    result = probe("ready", server.server_port)
    assert result.returncode == 1
    assert "404" in result.stdout


def test_nothing_listening_is_neither() -> None:
    port = free_port()
    assert probe("ready", port).returncode == 1
    assert probe("alive", port).returncode == 1


def test_the_version_is_the_configs_and_comments_are_none(
    server: StatusServer, tmp_path: Path
) -> None:
    config = tmp_path / "models.config"
    config.write_text('# versions: 3\nconfig { name: "m" specific { versions:17 } }\n')
    assert probe("ready", server.server_port, config).returncode == 0
    assert server.paths == ["/v1/models/m/versions/17"]


def test_a_config_without_a_version_is_said(server: StatusServer, tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    config.write_text('config { name: "m" }\n')
    result = probe("ready", server.server_port, config)
    assert (result.returncode, result.stdout) == (1, "models.config names no version\n")
