"""A server of metrics with traffic that follows the release record, as users' would."""

import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serving.releases import Releases
from serving.server.metrics import Metrics

MODEL = "plant"
NAN = {"probability": np.array([0.5, np.nan], np.float32)}
SCORES = np.random.default_rng(1).beta(0.5, 8, 5000).astype(np.float32)


class Users:
    """Answers as a server would: each scrape, so many requests have come since the last one.

    Attributes:
      per_scrape: how many requests came.
      seconds: a request's latency, by version; 4 ms otherwise.
      errors: one of how many fails, by version.
      invalid: one of how many answers has a NaN, by version.
      answers: what a version makes of a right answer; nothing otherwise.
      page: gives another page instead, from its own text.
      status: of HTTP.
      available: what the server has loaded; all if None.
    """

    def __init__(self, releases: Releases) -> None:
        self.releases = releases
        self.per_scrape = 1000
        self.seconds: dict[int, float] = {}
        self.errors: dict[int, int] = {}
        self.invalid: dict[int, int] = {}
        self.answers: dict[int, Callable[[np.ndarray], np.ndarray]] = {}
        self.page = lambda text: text
        self.status = 200
        self.available: set[int] | None = None
        self.sent: dict[int, int] = {}
        self.restart()

    def restart(self) -> None:
        """A new process: every counter begins anew."""
        self.metrics = Metrics()
        self.metrics.models = {MODEL}

    def answer(self) -> None:
        """Lets requests come."""
        traffic = self.releases.traffic()
        for number in range(self.per_scrape):
            version = traffic.choose(number / self.per_scrape)
            self.sent[version] = count = self.sent.get(version, 0) + 1
            fails = version in self.errors and count % self.errors[version] == 0
            status = "INTERNAL" if fails else "OK"
            seconds = 0.0001 if fails else self.seconds.get(version, 0.004)
            self.metrics.observe_request(MODEL, version, status, seconds, "REST")
            if version in self.invalid and count % self.invalid[version] == 0:
                self.metrics.observe_answer(MODEL, version, NAN)
            elif not fails:
                right = SCORES[count % len(SCORES)][None]
                told = self.answers[version](right) if version in self.answers else right
                self.metrics.observe_answer(MODEL, version, {"probability": told})

    def text(self) -> str:
        self.answer()
        return self.page(self.metrics.exposition().decode())


class Handler(http.server.BaseHTTPRequestHandler):
    users: Users

    def do_GET(self) -> None:
        if "/versions/" in self.path:
            version = int(self.path.rsplit("/", 1)[1])
            loaded = self.users.available is None or version in self.users.available
            state = {"version": str(version), "state": "AVAILABLE" if loaded else "LOADING"}
            body = json.dumps({"model_version_status": [state]}).encode()
        else:
            body = self.users.text().encode()
        self.send_response(self.users.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def saved_model(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_text(content)
    return folder


@pytest.fixture
def releases(tmp_path) -> Releases:
    """Version 1 is stable, 2 staged."""
    releases = Releases(tmp_path / MODEL)
    for content in ("1", "2"):
        releases.push(saved_model(tmp_path / "m", content), {}, 9, "blessed", rollout="canary")
    return releases


@pytest.fixture
def users(releases):
    return Users(releases)


@pytest.fixture
def server(users):
    handler = type("Bound", (Handler,), {"users": users})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()
