"""An OTLP/HTTP collector that keeps the spans it is sent."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any


class Collector:
    """Spans by name, with their attributes as a dictionary; and where to send them.

    Attributes:
      endpoint: for ``OTEL_EXPORTER_OTLP_ENDPOINT``.
      services: ``service.name`` of all that sent.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.services: set[str] = set()
        self.spans: list[dict[str, Any]] = []

    def add(self, body: bytes) -> None:
        """Takes an ExportTraceServiceRequest in OTLP's JSON."""
        for resource in json.loads(body)["resourceSpans"]:
            self.services.add(_values(resource["resource"]["attributes"])["service.name"])
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    self.spans.append({**span, "attributes": _values(span["attributes"])})

    def __getitem__(self, name: str) -> dict[str, Any]:
        (found,) = (span for span in self.spans if span["name"] == name)
        return found


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.add(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield collector
        server.shutdown()


def _values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {told["key"]: next(iter(told["value"].values())) for told in attributes}
