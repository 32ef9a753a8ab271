"""Processes that end with the one that started them."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int | None = None) -> None:
    """Has Linux send SIGTERM to this process when the one that started it is gone.

    Args:
      parent: the process that started this one; None if only that it lives is known.

    Raises:
      SystemExit: if it is gone already.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    now = os.getppid()
    if now == 1 if parent is None else now != parent:
        raise SystemExit("the process that started this one is gone")
