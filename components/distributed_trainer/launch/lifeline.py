"""A worker's side of the promise that no worker outlives its launcher."""

import os
import signal
import sys
import threading

from components.parent import end_with_parent


def end_with_launcher() -> None:
    """Ends this process as soon as the one that started it is gone, however that ended.

    The launcher holds the other end of stdin and never writes: its end is the launcher's. On Linux
    the kernel kills this process, too, which helps where it is stopped or holds Python's lock.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to answer.
    end_with_parent(os.getppid(), signal.SIGKILL)  # Of one that is gone already stdin tells.
    threading.Thread(target=_wait, name="lifeline", daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
