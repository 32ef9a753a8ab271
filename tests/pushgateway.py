"""What a Pushgateway is sent: method, path and body, kept by a server of the standard library."""

import contextlib
import http.server
import threading
from collections.abc import Iterator


class Pushgateway(http.server.BaseHTTPRequestHandler):
    """Keeps what is pushed in ``pushed``; answers with ``status``."""

    pushed: list[tuple[str, str, str]]
    status = 200

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.pushed.append((self.command, self.path, body))
        self.send_response(self.status)
        self.end_headers()

    do_POST = do_PUT  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def pushgateway() -> Iterator[tuple[str, type[Pushgateway]]]:
    """Its address, and what it keeps."""
    handler = type("Bound", (Pushgateway,), {"pushed": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()
