"""What load measures: rates, failures, and the waiting of all that a stall holds up."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import grpc
import pytest

from serving.load import measure
from serving.load.grpc import GrpcSender
from serving.load.rest import RefusedError, RestSender


class Server:
    """A real HTTP server whose answers a test decides."""

    def __init__(self) -> None:
        self.connections = 0
        self.bodies: list[bytes] = []
        self.answer: Callable[[bytes], bytes] = lambda body: b'{"predictions": [1.0]}'
        self.status = "200 OK"
        self.stall = 0.0
        self.stall_until = 0.0
        self.breaks_off = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.bodies.append(body)
                if self.stall:
                    self.stall_until, self.stall = time.perf_counter() + self.stall, 0.0
                while time.perf_counter() < self.stall_until:
                    await asyncio.sleep(0.005)
                if self.breaks_off:
                    break
                answer = self.answer(body)
                writer.write(
                    f"HTTP/1.1 {self.status}\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
                    + answer
                )
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def running(server: Server, timeout: float = 60) -> AsyncIterator[RestSender]:
    """The server, and a sender to it."""
    started = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    port = started.sockets[0].getsockname()[1]
    sender = RestSender("127.0.0.1", port, "/v1/models/m:predict", [b"[1]", b"[2]"], timeout)
    try:
        yield sender
    finally:
        sender.close()
        started.close()


def test_requests_leave_at_their_rate_and_take_turns_in_bodies() -> None:
    async def main() -> tuple[measure.Result, Server]:
        server = Server()
        async with running(server) as sender:
            return await measure.at_rate(sender, rate=300, seconds=1), server

    result, server = asyncio.run(main())
    assert (result.sent, result.failed, len(result.latencies)) == (300, 0, 300)
    assert result.seconds > 0.7
    assert {server.bodies.count(b"[1]"), server.bodies.count(b"[2]")} == {150}
    assert 0 < result.percentile_ms(50) <= result.percentile_ms(99)


def test_a_stall_is_charged_for_all_whom_it_holds_up() -> None:
    """Half of a second is silence: half of the requests wait, each from when it was due.

    A machine that stalls by itself only adds to that.
    """

    async def main() -> tuple[measure.Result, measure.Result]:
        server = Server()
        async with running(server) as sender:
            server.stall = 0.5
            open_loop = await measure.at_rate(sender, rate=200, seconds=1)
            server.stall = 0.5
            return open_loop, await measure.over_connections(sender, 1, seconds=1)

    open_loop, closed_loop = asyncio.run(main())
    # 100 requests that wait for a quarter of a second on average.
    assert open_loop.latencies.sum() > 20
    assert open_loop.percentile_ms(75) > 100
    # One connection sends nothing while it waits, and so hides the stall: one request has it.
    assert closed_loop.latencies.max() > 0.45
    assert closed_loop.latencies.sum() < closed_loop.seconds


def test_connections_are_kept() -> None:
    async def main() -> tuple[measure.Result, Server]:
        server = Server()
        async with running(server) as sender:
            return await measure.over_connections(sender, 4, seconds=0.3), server

    result, server = asyncio.run(main())
    assert server.connections == 4
    assert result.sent == len(result.latencies) > 4
    assert result.rate == pytest.approx(len(result.latencies) / result.seconds)


def test_refusals_are_told_and_counted_by_reason() -> None:
    async def main() -> measure.Result:
        server = Server()
        server.status, server.answer = "503 Service Unavailable", lambda body: b'{"error": "full"}'
        async with running(server) as sender:
            with pytest.raises(RefusedError, match=r'503 \{"error": "full"\}'):
                await sender(0)
            return await measure.at_rate(sender, rate=100, seconds=0.2)

    result = asyncio.run(main())
    assert result.failures == {'RefusedError: 503 {"error": "full"}': 20}
    assert result.percentile_ms(99) != result.percentile_ms(99)  # NaN: none was answered


def test_a_connection_that_breaks_off_and_silence_are_failures() -> None:
    async def main() -> None:
        server = Server()
        async with running(server) as sender:
            server.breaks_off = True
            with pytest.raises(ConnectionError, match="broke off"):
                await sender(0)
            server.breaks_off = False
            await sender(0)
        async with running(server, timeout=1) as sender:
            server.stall = 60
            with pytest.raises(TimeoutError, match="no answer within 1 s"):
                await sender(0)

    asyncio.run(main())


def test_a_server_fallen_behind_for_good_is_not_sent_more() -> None:
    async def late(number: int) -> None:
        # Turns of the loop, not time: all are due before it takes two.
        for _ in range(100):
            await asyncio.sleep(0)

    result = asyncio.run(measure.at_rate(late, rate=1e9, seconds=1e-7, most_waiting=10))
    assert result.failures == {"Overrun": 90}


def test_grpc_requests_reach_a_grpc_server() -> None:
    async def main() -> tuple[measure.Result, list[bytes]]:
        seen: list[bytes] = []

        async def predict(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            seen.append(request)
            if request == b"bad":
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
            return b"answer"

        server = grpc.aio.server()
        handlers = {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
        name = "tensorflow.serving.PredictionService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sender = GrpcSender(f"127.0.0.1:{port}", [b"good", b"bad"])
        try:
            assert await sender.answer(0) == b"answer"
            return await measure.at_rate(sender, rate=100, seconds=0.2), seen
        finally:
            await sender.close()
            await server.stop(None)

    result, seen = asyncio.run(main())
    assert (result.sent, result.failed, len(seen)) == (20, 10, 21)
    assert "AioRpcError" in next(iter(result.failures))
