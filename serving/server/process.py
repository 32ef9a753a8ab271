"""The server as a process: both APIs on one event loop, from start to a clean end.

``python -m serving.server.process --model-name M --model-base-path DIR``
"""

import asyncio
import contextlib
import dataclasses
import gc
import json
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from observability.records import JsonFormatter
from serving.folders import write_atomically
from serving.server.options import CONTEXT, Options, OptionsError, server_options

# What TensorFlow says of missing GPUs is none of the server's news.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A SavedModel needs no Keras; TensorFlow would load Keras 3 with Matplotlib and scikit-learn.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
if __name__ == "__main__":
    # Nor is what Google's libraries say of a Python that they will not support for long.
    warnings.simplefilter("ignore", FutureWarning)

import grpc.aio
import uvicorn
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from serving.server.access_log import AccessLog
from serving.server.grpc_services import Calls, add_services
from serving.server.limits import Limits, expire_connections, limited_protocol
from serving.server.rest import RestApi
from serving.server.startup import make_core, metrics_path, reload_from_file

_SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_SETTLE = 1.0
_HOLD = 0.05
_log = logging.getLogger("serving.server.process")


@dataclasses.dataclass(frozen=True)
class Listening:
    """Where the server listens.

    Attributes:
      host: the address.
      grpc: the port of gRPC.
      rest: the port of REST.
      pid: the process.
    """

    host: str
    grpc: int
    rest: int
    pid: int


class _HttpServer(uvicorn.Server):
    """uvicorn's server without its signal handlers: ``serve`` has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(options: Options, on_ready: Callable[[Listening], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is under way.

    Args:
      options: what to serve and where.
      on_ready: is called once both ports listen; models may still be loading.

    Raises:
      OptionsError: if a port is taken, or a folder or file cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    core = make_core(options)
    access_log = AccessLog(options.access_log)
    limits = Limits(
        body_bytes=options.max_request_bytes,
        header_seconds=options.header_seconds,
        body_seconds=options.body_seconds,
        connections=options.max_connections,
    )
    rest = RestApi(
        core, access_log, limits, metrics_path(options), options.rest_api_timeout_in_ms / 1000
    )
    listener = _listen(options.host, options.rest_api_port, "--rest-api-port")
    http = _HttpServer(
        uvicorn.Config(
            rest,
            http=limited_protocol(limits),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=2048,
            timeout_keep_alive=int(limits.idle_seconds),
            timeout_graceful_shutdown=max(1, int(options.grace_seconds)),
        )
    )
    grpc_server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", options.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
    )
    calls = add_services(grpc_server, core, access_log)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, grpc_server)
    try:
        grpc_port = _bind(grpc_server, options)
        await core.start()
        await grpc_server.start()
        await _set_health(health, health_pb2.HealthCheckResponse.SERVING)
        background = [
            asyncio.create_task(http.serve(sockets=[listener])),
            asyncio.create_task(expire_connections(http.server_state)),
            asyncio.create_task(reload_from_file(core, options)),
            asyncio.create_task(_stop_with_parent(stop, options.end_with_parent)),
        ]
        while not http.started:
            await asyncio.sleep(0.005)
        where = Listening(options.host, grpc_port, listener.getsockname()[1], os.getpid())
        if options.ready_file:
            text = {"grpc": where.grpc, "rest": where.rest, "pid": where.pid}
            write_atomically(Path(options.ready_file), json.dumps(text) + "\n")
        if on_ready is not None:
            on_ready(where)
        await stop.wait()
        await _set_health(health, health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.gather(
            _drain_rest(rest, http, background[0]),
            _drain_grpc(grpc_server, calls, options.grace_seconds),
        )
        await core.drain(options.grace_seconds)
        for task in background[1:]:
            task.cancel()
    finally:
        listener.close()
        await grpc_server.stop(None)
        await core.stop()
        access_log.close()


async def _stop_with_parent(stop: asyncio.Event, parent: int) -> None:
    """Sets ``stop`` once the process that started this one is gone, also while this one started."""
    while parent and os.getppid() == parent:
        await asyncio.sleep(0.5)
    if parent:
        stop.set()


async def _drain_rest(rest: RestApi, http: _HttpServer, running: asyncio.Task[None]) -> None:
    """Takes no more connections, and closes those that are open after their next answer."""
    rest.draining = True
    for listener in http.servers:
        listener.close()
    # A connection that is closed while its client sends would fail a request, so clients get the
    # time to be told by an answer.
    deadline = asyncio.get_running_loop().time() + _SETTLE
    while http.server_state.connections and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    http.should_exit = True
    await running


async def _drain_grpc(server: grpc.aio.Server, calls: Calls, grace: float) -> None:
    """Refuses new calls and finishes those under way."""
    # A call that reached the server but not yet its handler is cancelled by ``stop``. So answers
    # are kept back until those who wait for them send nothing more and know that they must not.
    calls.hold()
    await asyncio.sleep(_HOLD)
    stopping = asyncio.create_task(server.stop(grace))
    await asyncio.sleep(_HOLD)
    calls.release()
    await stopping


async def _set_health(health: HealthServicer, status: int) -> None:
    for service in _SERVICES:
        await health.set(service, status)


def _listen(host: str, port: int, flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OptionsError(
            f"cannot listen on {host}:{port} ({error.strerror}). Stop what listens there, or "
            f"choose another port with {flag} (0 takes a free one)"
        ) from None
    listener.setblocking(False)
    return listener


def _bind(server: grpc.aio.Server, options: Options) -> int:
    # gRPC says nothing of why it cannot bind; a socket of our own does.
    if options.port:
        _listen(options.host, options.port, "--port").close()
    host = f"[{options.host}]" if ":" in options.host else options.host
    try:
        port = server.add_insecure_port(f"{host}:{options.port}")
    except RuntimeError:
        port = 0
    if not port:
        raise OptionsError(
            f"cannot listen on {options.host}:{options.port} for gRPC. Choose another port with "
            "--port (0 takes a free one)"
        )
    return port


def run(options: Options, on_ready: Callable[[Listening], None] | None = None) -> None:
    """Serves on an event loop of its own; uvloop's where there is one.

    Raises:
      OptionsError: see ``serve``.
    """
    # TensorFlow's modules are some 400,000 objects, and a full collection that walks them stops all
    # requests for 0.3 s. They stay for good, so the collector may forget them. Models are loaded
    # later and stay in its sight: an unloaded one must go.
    gc.collect()
    gc.freeze()
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(serve(options, on_ready))
        return
    loop = _loop()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(options, on_ready))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def log_to_stderr(log_format: str) -> None:
    """Sends what the server says of itself to standard error.

    Args:
      log_format: ``text`` or ``json``.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


@click.command(context_settings=dict(CONTEXT))
@server_options()
def main(**values: object) -> None:
    """Serve SavedModels on TensorFlow Serving's gRPC and REST APIs; an emulator of it."""
    log_to_stderr(str(values["log_format"]))

    def tell(where: Listening) -> None:
        _log.info("gRPC listens on %s:%d, REST on %d", where.host, where.grpc, where.rest)

    try:
        run(Options(**values), tell)  # type: ignore[arg-type]
    except OptionsError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
