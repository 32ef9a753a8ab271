"""A stage in a process of its own: a copy of this one, with all that was imported so far.

A copy is safe only of a process without threads that hold locks, so that what forks runs nothing of
TensorFlow's, Beam's or gRPC's itself.
"""

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from components.parent import end_with_parent
from pipeline.local.lost_worker import WorkerLostError, watch_workers
from pipeline.local.stage import Stage

Work = Callable[["Link"], Stage]


class Link:
    """The stage's end of the line to the process that started it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, text: str) -> None:
        """Tells a line of progress."""
        self._connection.send(text)

    def wait_until_allowed(self) -> None:
        """Waits until all that the stage waits for is done."""
        self._connection.recv()

    def end(self, stage: Stage) -> None:
        """Tells what became of the stage."""
        self._connection.send(stage)


class Fork:
    """The running stage, seen from the process that started it.

    Attributes:
      node: the stage.
      connection: readable when ``receive`` has something.
    """

    def __init__(self, node: str, work: Work) -> None:
        """Starts it.

        Args:
          node: the stage.
          work: called in the new process; it raises nothing.
        """
        self.node = node
        self._began = time.monotonic()
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(node, work, theirs, os.getpid()))
        self._process.start()
        theirs.close()

    def receive(self) -> str | Stage:
        """A line of progress, or what became of the stage: then its process has ended."""
        try:
            told: str | Stage = self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            return self._lost()
        if isinstance(told, Stage):
            self._process.join()
            self.connection.close()
        return told

    def allow(self) -> None:
        """Lets the stage publish what it makes."""
        # One that has ended cannot hear it, which ``receive`` tells.
        with contextlib.suppress(ConnectionError):
            self.connection.send(True)

    def stop(self) -> Stage:
        """Ends the process; nothing of what it made was published."""
        self._process.kill()
        self._process.join()
        self.connection.close()
        return Stage(self.node, "stopped", time.monotonic() - self._began)

    def _lost(self) -> Stage:
        self.connection.close()
        code = self._process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name
            error = f"its process was ended by {name}"
            if name == "SIGKILL":
                error += ": the machine may have run out of memory"
        else:
            error = f"its process ended without a word (code {code})"
        return Stage(self.node, "failed", time.monotonic() - self._began, error=error)


def _run(node: str, work: Work, connection: Connection, parent: int) -> None:
    # What runs within TensorFlow would keep a handler in Python waiting.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(parent)
    # The garbage collector writes to all that it looks at: each stage would get a copy of what was
    # imported.
    gc.freeze()
    link = Link(connection)
    began = time.monotonic()

    def lost(error: WorkerLostError) -> None:
        logging.error("%s", error)
        link.end(Stage(node, "failed", time.monotonic() - began, error=str(error)))
        os._exit(1)

    watch_workers(lost)
    link.end(work(link))
    # TensorFlow's and Beam's threads can hold up an ordinary exit for seconds.
    logging.shutdown()
    os._exit(0)
