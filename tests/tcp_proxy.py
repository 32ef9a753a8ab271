"""A TCP proxy that tests can make stall, slow down or break off: ``with TcpProxy(port) as p``."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

_CHUNK = 16_384


class TcpProxy:
    """Forwards connections to a port of this machine.

    Attributes:
      port: where it listens, on 127.0.0.1.
      trigger: called, once, when ``after`` bytes have come from the server in one connection; until
        it returns nothing more is forwarded to the client.
      after: see trigger.
      pause: seconds that each chunk from the server is held up.
      connections: how many there have been.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.trigger: Callable[[], None] | None = None
        self.after = 0
        self.pause = 0.0
        self.connections = 0
        self._open: list[socket.socket] = []
        self._closed = threading.Event()
        self._flows = threading.Event()
        self._flows.set()

    def __enter__(self) -> "TcpProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._flows.set()
        self._listener.close()
        for each in self._open:
            each.close()

    def stall(self) -> None:
        """Forwards nothing any more; connections stay open, and new ones are taken."""
        self._flows.clear()

    def flow(self) -> None:
        """Forwards again."""
        self._flows.set()

    def reset(self) -> None:
        """Breaks all connections off with RST."""
        broken, self._open = self._open, []
        for each in broken:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # It wakes the thread that reads; only then does the close take place, as an RST.
                each.shutdown(socket.SHUT_RD)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                self._open += [client, server]
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, watched: bool) -> None:
        seen = 0
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                seen += len(chunk)
                if watched:
                    time.sleep(self.pause)
                    if self.trigger is not None and seen >= self.after:
                        trigger, self.trigger = self.trigger, None
                        trigger()
                self._flows.wait()
                target.sendall(chunk)
        for each in {source, target} & set(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
