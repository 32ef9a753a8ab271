"""What one client may take of the server: bytes, time and connections."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.server.json_answers import write_error

_SWEEP = 0.1


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of the REST server; the first holds for gRPC messages too.

    Attributes:
      body_bytes: of a request's body.
      header_seconds: from a request's first byte to the end of its headers.
      body_seconds: from there to the end of its body.
      idle_seconds: how long a connection may wait for its next request.
      linger_seconds: how long the rest of a refused body is read and dropped.
      connections: at a time.
    """

    body_bytes: int = 64 << 20
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    linger_seconds: float = 5.0
    connections: int = 1_000


class TooLargeError(Exception):
    """A body above the limit."""


async def read_body(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    most: int,
) -> bytes | None:
    """Reads a request's body.

    Returns:
      The body; None if the client went away.

    Raises:
      TooLargeError: as soon as that is known, so before it is read where its length is told.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > most:
            raise TooLargeError(_too_large(most))
    message = await receive()
    if message["type"] != "http.request":
        return None
    body: bytes = message["body"]
    if not message["more_body"]:
        if len(body) > most:
            raise TooLargeError(_too_large(most))
        return body
    parts = bytearray(body)
    while message["more_body"]:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts += message["body"]
        if len(parts) > most:
            raise TooLargeError(_too_large(most))
    return bytes(parts)


async def discard_body(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], seconds: float
) -> None:
    """Reads the rest of a body into nothing, until it ends, the client goes or time is up."""

    async def discard() -> None:
        message = await receive()
        while message["type"] == "http.request" and message["more_body"]:
            message = await receive()

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(discard(), seconds)


def _too_large(most: int) -> str:
    return f"Request body is larger than {most} bytes"


class _OneWrite:
    """A transport that sends what one turn of the event loop writes at once.

    uvicorn writes an answer's head and its body apart, and each write is a system call: a tenth of
    what a small request costs.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with time-outs for reading, and answers to half-closed connections.

    ``limits`` is set on a subclass: ``limited_protocol``.
    """

    limits: Limits

    def __init__(self, config: Config, server_state: ServerState, *args: Any, **kwargs: Any):
        super().__init__(config, server_state, *args, **kwargs)
        self._due: float | None = None
        self._awaits = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuses a connection too many; else waits for its first request."""
        super().connection_made(transport)
        self.transport = _OneWrite(transport)  # type: ignore[assignment]
        if len(self.connections) > self.limits.connections:
            self._refuse(503, f"More than {self.limits.connections} connections")
            return
        self._await("", self.limits.idle_seconds)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keeps the way back open while a whole request waits for its answer."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            return True
        return None

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._await("headers", self.limits.header_seconds)

    def on_headers_complete(self) -> None:
        """The end of a request's headers."""
        super().on_headers_complete()
        self._await("body", self.limits.body_seconds)

    def on_message_complete(self) -> None:
        """The end of a request's body."""
        super().on_message_complete()
        self._due = None

    def expire(self, now: float) -> None:
        """Closes the connection if what it awaits is overdue, with a word if it was a request."""
        if self._due is None or now < self._due or self.flow.read_paused:
            return
        self._due = None
        if not self._awaits:
            self.transport.close()
        elif self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self._refuse(408, f"Request {self._awaits} did not arrive in time")

    def _await(self, what: str, seconds: float) -> None:
        self._awaits, self._due = what, time.monotonic() + seconds

    def _refuse(self, status: int, message: str) -> None:
        body = write_error(message)
        reason = {408: b"Request Timeout", 503: b"Service Unavailable"}[status]
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, reason, len(body), body)
        )
        self.transport.close()


def limited_protocol(limits: Limits) -> type[LimitedProtocol]:
    """The protocol class for these limits, for ``uvicorn.Config(http=…)``."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})


async def expire_connections(state: ServerState) -> None:
    """Ends connections that are overdue, for ever; one sweep is cheaper than a timer a request."""
    while True:
        await asyncio.sleep(_SWEEP)
        now = time.monotonic()
        for connection in list(state.connections):
            if isinstance(connection, LimitedProtocol):
                connection.expire(now)
