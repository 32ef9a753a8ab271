"""Processes that end with the one that started them."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, by: signal.Signals = signal.SIGTERM) -> None:
    """Has Linux send a signal to this process when the one that started it is gone.

    Args:
      parent: the process that started this one, by its own ``os.getpid()``: 1 is as good as any
        other, since a container's first process has no other number.
      by: the signal.

    Raises:
      SystemExit: if it is gone already.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        raise SystemExit("the process that started this one is gone")
