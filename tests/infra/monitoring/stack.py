"""Debian's Prometheus, Alertmanager, Pushgateway and node_exporter with the shipped files.

The files are rendered, not written anew: addresses become those of the test, and what is waited
for (``for:``, scrapes, groups) becomes a second. Rules, matchers and routes stay as they are.
"""

import contextlib
import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.infra.conftest import INFRA
from tests.ports import free_port
from tests.postgres import wait_until

MONITORING = INFRA / "monitoring"


class Receiver:
    """The webhook that Alertmanager calls; keeps what it is sent, by path."""

    def __init__(self) -> None:
        self.received: list[tuple[float, str, dict[str, Any]]] = []
        received = self.received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.append((time.time(), self.path, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def alerts(self, path: str, status: str = "firing") -> dict[str, dict[str, Any]]:
        """What came under a path, by the alert's name."""
        return {
            alert["labels"]["alertname"]: alert
            for _, where, body in list(self.received)
            for alert in body["alerts"]
            if where == path and alert["status"] == status
        }

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


class Stack:
    """All of it, in a folder of its own, scraping one server's metrics and a collector's.

    Attributes:
      textfiles: the folder that node_exporter reads.
      pushgateway: its address.
      receiver: what Alertmanager told.
    """

    def __init__(self, folder: Path, rest_port: int, collector: str) -> None:
        self._folder = folder
        (folder / "collectors.yml").write_text(json.dumps([{"targets": [collector]}]))
        self.textfiles = folder / "textfiles"
        self.textfiles.mkdir()
        self.receiver = Receiver()
        names = ("prometheus", "alertmanager", "pushgateway", "node")
        self._ports = {name: free_port() for name in names}
        self._places = {
            "localhost:8501": f"127.0.0.1:{rest_port}",
            "localhost:9100": f"127.0.0.1:{self._ports['node']}",
            "localhost:9091": f"127.0.0.1:{self._ports['pushgateway']}",
            "localhost:9093": f"127.0.0.1:{self._ports['alertmanager']}",
            "localhost:9099": f"127.0.0.1:{self.receiver.port}",
        }
        self.pushgateway = f"http://127.0.0.1:{self._ports['pushgateway']}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Stack"]:
        """Starts it and, in the end, ends it."""
        for name in ("prometheus.yml", "alertmanager.yml"):
            self._render(MONITORING / name, self._folder / name)
        (self._folder / "rules").mkdir()
        for path in (MONITORING / "rules").iterdir():
            self._render(path, self._folder / "rules" / path.name)
        data = self._folder
        commands = {
            "node": [
                "prometheus-node-exporter",
                "--collector.disable-defaults",
                "--collector.textfile",
                f"--collector.textfile.directory={self.textfiles}",
            ],
            "pushgateway": ["prometheus-pushgateway"],
            "alertmanager": [
                "prometheus-alertmanager",
                f"--config.file={data}/alertmanager.yml",
                f"--storage.path={data}/alertmanager",
                "--cluster.listen-address=",
            ],
            "prometheus": [
                "prometheus",
                f"--config.file={data}/prometheus.yml",
                f"--storage.tsdb.path={data}/prometheus",
            ],
        }
        with contextlib.ExitStack() as stack:
            stack.callback(self.receiver.close)
            for name, command in commands.items():
                assert shutil.which(command[0]), f"no {command[0]}: make test-services installs it"
                log = stack.enter_context((data / f"{name}.log").open("wb"))
                listen = f"--web.listen-address=127.0.0.1:{self._ports[name]}"
                process = subprocess.Popen([*command, listen], stdout=log, stderr=log, cwd=data)
                stack.callback(process.wait)
                stack.callback(process.kill)
            for name in ("alertmanager", "prometheus"):
                wait_until(lambda port=self._ports[name]: _is_ready(port), 60)
            yield self

    def query(self, expr: str) -> list[dict[str, Any]]:
        """What Prometheus answers to an instant query; an error of its is raised."""
        query = urllib.parse.urlencode({"query": expr})
        return list(self._get("prometheus", f"/api/v1/query?{query}")["data"]["result"])

    def inhibited(self) -> set[str]:
        """The alerts that Alertmanager holds back because another one says more."""
        alerts = self._get("alertmanager", "/api/v2/alerts?inhibited=true&active=false")
        return {alert["labels"]["alertname"] for alert in alerts}

    def _get(self, program: str, path: str) -> Any:
        url = f"http://127.0.0.1:{self._ports[program]}{path}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)

    def _render(self, source: Path, target: Path) -> None:
        text = source.read_text()
        for old, new in self._places.items():
            text = text.replace(old, new)
        text = re.sub(r"\b(for|\w+_interval|group_wait): \d+[smh]", r"\1: 1s", text)
        # A repeat would come a second later too.
        target.write_text(text.replace("repeat_interval: 1s", "repeat_interval: 1h"))


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False
