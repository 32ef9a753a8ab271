"""SIGTERM, answered like an error: what a launcher started elsewhere is undone first."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def undone_on_sigterm() -> Iterator[None]:
    """Within it SIGTERM raises SystemExit; behind it the signal is given on to whom it was for.

    In other threads than the first, where Python takes no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if stopped:
            os.kill(os.getpid(), signal.SIGTERM)
