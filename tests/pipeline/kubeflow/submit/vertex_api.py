"""The part of Vertex AI's REST API that submit asks for, as google-cloud-aiplatform reads it."""

import http.server
import json
import re
import threading
import urllib.parse
from typing import Any


class VertexApi:
    """A stand-in for ``REGION-aiplatform.googleapis.com``.

    Attributes:
      jobs: pipeline jobs by name.
      schedules: schedules by name.
      states: for each look at a job its state and its tasks'.
      lost: how many writes are carried out and answered by 503.
      refused: the status that answers everything.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.schedules: dict[str, dict[str, Any]] = {}
        self.states: list[tuple[str, dict[str, str]]] = []
        self.lost = 0
        self.refused = 0
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else {}
                status, told = api.handle(self.command, self.path, body)
                text = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, method: str, target: str, body: dict[str, Any]) -> tuple[int, dict]:
        url = urllib.parse.urlsplit(target)
        query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        if self.refused:
            return self.refused, _error(self.refused, "Permission denied")
        parent, kind, rest = re.fullmatch(
            r"/v1/(projects/plant/locations/europe-west4)/(pipelineJobs|schedules)(.*)", url.path
        ).groups()
        table = self.jobs if kind == "pipelineJobs" else self.schedules
        if method == "GET" and not rest:
            return 200, {kind: list(table.values())}
        if method == "POST" and not rest:
            name = f"{parent}/{kind}/{query.get('pipelineJobId') or len(table) + 1}"
            if name in table:
                return 409, _error(409, f"{name} already exists")
            state = "PIPELINE_STATE_PENDING" if kind == "pipelineJobs" else "ACTIVE"
            table[name] = body | {"name": name, "state": state}
            if self.lost:
                self.lost -= 1
                return 503, _error(503, "try again")
            return 200, table[name]
        name, _, verb = f"{parent}/{kind}{rest}".partition(":")
        if name not in table:
            return 404, _error(404, f"{name} not found")
        if method == "PATCH":
            table[name] |= {key: body[key] for key in ("cron", "createPipelineJobRequest")}
            assert query["updateMask"] == "cron,createPipelineJobRequest"
        elif verb == "cancel":
            table[name]["state"] = "PIPELINE_STATE_CANCELLING"
            return 200, {}
        elif verb in ("pause", "resume"):
            table[name]["state"] = {"pause": "PAUSED", "resume": "ACTIVE"}[verb]
            return 200, {}
        elif self.states:
            state, tasks = self.states.pop(0)
            table[name] |= {"state": f"PIPELINE_STATE_{state}", "jobDetail": _detail(tasks)}
        return 200, table[name]


def _detail(tasks: dict[str, str]) -> dict[str, Any]:
    times = {"startTime": "2025-05-01T00:00:00Z", "endTime": "2025-05-01T00:00:07.5Z"}
    rows = [{"taskName": name, "state": state} | times for name, state in tasks.items()]
    for row in rows:
        if row["state"] == "FAILED":
            row["error"] = {"code": 9, "message": "The replica exited with status 1"}
    return {"taskDetails": rows}


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": "X"}}
