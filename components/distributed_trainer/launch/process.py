"""One worker as a process on this machine."""

import collections
import math
import os
import pathlib
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import IO, Any

from components.distributed_trainer.launch import lines

_TAIL = 10


class WorkerProcess:
    """A running worker, what it has said, and when it last showed life.

    Attributes:
      index: which worker.
      failure: what it ended of in its own words; None while it has not said so.
      failed_at: when it said so, in seconds since the epoch.
    """

    def __init__(
        self,
        index: int,
        command: Sequence[str],
        environment: dict[str, str],
        heartbeat: pathlib.Path,
        selector: selectors.BaseSelector,
    ) -> None:
        """Starts it.

        Args:
          index: which worker.
          command: what it executes.
          environment: its whole environment.
          heartbeat: the file that it touches after each batch; removed first.
          selector: where its output is registered, with what reads it.
        """
        heartbeat.unlink(missing_ok=True)
        self.index = index
        self.failure: str | None = None
        self.failed_at = math.inf
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL)
        self._heartbeat = heartbeat
        self._touched = 0
        self._alive_at = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # Its lifeline: see lifeline.py.
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        self._selector = selector
        self._pending: dict[int, bytes] = {}
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ, self)

    @property
    def code(self) -> int | None:
        """Its exit code, negative where a signal ended it; None while it runs."""
        return self._process.poll()

    def read(self, stream: IO[Any]) -> None:
        """Takes in what it has written, and logs it here."""
        try:
            data = os.read(stream.fileno(), 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(stream)
        *whole, rest = (self._pending.pop(stream.fileno(), b"") + data).split(b"\n")
        if data:
            self._pending[stream.fileno()] = rest
        elif rest:
            whole.append(rest)
        for line in whole:
            told = lines.relay(line.decode(errors="replace"), self.index)
            self._tail.append(str(told["msg"]))
            if lines.FAILURE in told:
                self.failure, self.failed_at = told[lines.FAILURE], told["created"]

    def last_lines(self) -> str:
        """Its last lines as the end of a sentence; empty if there are none."""
        return "".join(["; its last lines:", *(f"\n  {line}" for line in self._tail)])

    def silence(self) -> float:
        """Seconds since it last ended a batch, or since its start."""
        try:
            touched = self._heartbeat.stat().st_mtime_ns
        except FileNotFoundError:
            touched = 0
        if touched != self._touched:
            self._touched, self._alive_at = touched, time.monotonic()
        return time.monotonic() - self._alive_at

    @property
    def has_begun(self) -> bool:
        """Whether it has ended a batch."""
        return self._touched > 0

    def dump_stacks(self) -> None:
        """Asks it for its threads' stacks, which it writes to stderr."""
        if self.code is None:
            self._process.send_signal(signal.SIGUSR1)

    def end(self) -> None:
        """Ends it at once, if it runs."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
