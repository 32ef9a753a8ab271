"""Measuring while no other stage of the run computes on this machine."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

LOCK = "PIPELINE_STAGE_LOCK"
"""The environment variable that holds the descriptor of a file which each stage at work has locked,
shared with the others. Where it is not set, no other stage runs here."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Waits until the other stages have ended; none begins before the block has."""
    held = os.environ.get(LOCK)
    if held is None:
        yield
        return
    fcntl.flock(int(held), fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(int(held), fcntl.LOCK_SH)
