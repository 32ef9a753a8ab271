"""A small HTTP/1.1 client for load: kept connections, one request at a time on each."""

import asyncio
import typing
from collections.abc import Sequence

import httptools


class RefusedError(Exception):
    """An answer other than 200."""


class RestSender:
    """Posts prepared bodies to one path of one server.

    Args:
      host: the server's address.
      port: its port.
      path: such as ``/v1/models/plant/versions/1:predict``.
      bodies: request bodies; request ``n`` sends body ``n`` modulo their number.
      timeout: seconds until an unanswered request has failed.
    """

    def __init__(
        self, host: str, port: int, path: str, bodies: Sequence[bytes], timeout: float = 10.0
    ) -> None:
        self._host, self._port = host, port
        self._timeout = timeout
        self._requests = [
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
            for body in bodies
        ]
        self._idle: list[_Connection] = []

    async def __call__(self, number: int) -> None:
        """Sends a request.

        Raises:
          RefusedError: the answer was not 200; with its status and the beginning of its body.
          OSError: the connection failed or broke off.
          TimeoutError: there was no answer in time.
        """
        status, body = await self.answer(number)
        if status != 200:
            raise RefusedError(f"{status} {body[:150].decode(errors='replace')}")

    async def answer(self, number: int) -> tuple[int, bytes]:
        """Sends a request and returns its answer's status and body; raises as ``__call__`` does."""
        request = self._requests[number % len(self._requests)]
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                break
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        try:
            answer = await connection.ask(request, self._timeout)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Closes the connections that are kept."""
        while self._idle:
            self._idle.pop().close()


class _Connection(asyncio.Protocol):
    """One connection; httptools calls its ``on_`` methods."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = typing.cast(asyncio.Transport, transport)
        self.open = True

    async def ask(self, request: bytes, timeout: float) -> tuple[int, bytes]:
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        # A timer is a tenth of what asyncio.wait_for costs.
        timer = loop.call_later(
            timeout, self._fail, TimeoutError(f"no answer within {timeout:g} s")
        )
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            timer.cancel()

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"not an HTTP answer: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ConnectionError(f"the connection broke off: {error or 'closed'}"))

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        answer = self._parser.get_status_code(), b"".join(self._parts)
        self.open = self._parser.should_keep_alive()
        self._parts = []
        self._parser = httptools.HttpResponseParser(self)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
