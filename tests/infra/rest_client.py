"""An HTTP client that keeps its connection, for tests."""

import http.client

URL = "/v1/models/m:predict"


class RestClient:
    """Keeps a connection, and sends again on a new one what a kept one was closed on.

    That is RFC 9112 section 9.3.1: a server may close a kept connection at any time, and a client
    repeats what is safe to repeat.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def __call__(
        self, body: str = "{}", headers: dict[str, str] | None = None, path: str = URL
    ) -> tuple[int, bytes, dict[str, str]]:
        kept = self._connection
        try:
            return self._send(body, headers or {}, path)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if kept is None:
                raise
            self.close()
            return self._send(body, headers or {}, path)

    def _send(
        self, body: str, headers: dict[str, str], path: str
    ) -> tuple[int, bytes, dict[str, str]]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        answer = response.status, response.read(), dict(response.headers)
        if response.will_close:
            self.close()
        return answer

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
