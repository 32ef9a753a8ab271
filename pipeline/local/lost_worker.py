"""A worker process of Beam's that dies: without this, its runner waits for an answer for ever."""

import re
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType


class WorkerLostError(Exception):
    """A worker process of Beam's has ended in the middle of its work."""


def watch_workers(lost: Callable[[WorkerLostError], None]) -> None:
    """Has a worker's death told.

    FnApiRunner learns of it in a thread of its own, whose error reaches nobody. ``lost`` is called
    in that thread; the main thread is past help then, so ``lost`` has to end the process. A worker
    that falls while the runner puts its workers away is let go: its work was done.
    """
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        before(arguments)
        said = str(arguments.exc_value)
        found = re.fullmatch(r"Worker subprocess exited with return code (-?\d+)", said)
        if found and not _put_away():
            lost(WorkerLostError(_message(int(found[1]))))

    threading.excepthook = hook


def _put_away() -> bool:
    """Whether the main thread is in ``WorkerHandlerManager.close_all``."""
    main = threading.main_thread().ident
    frame: FrameType | None = sys._current_frames().get(main or 0)
    while frame is not None:
        if frame.f_code.co_name == "close_all":
            return True
        frame = frame.f_back
    return False


def _message(code: int) -> str:
    # A shell between us and the worker tells a signal as 128 and its number.
    number = -code if code < 0 else code - 128
    by_signal = number in {each.value for each in signal.Signals}
    how = f"was ended by {signal.Signals(number).name}" if by_signal else f"ended with {code}"
    memory = " The machine may have run out of memory." if number == signal.SIGKILL else ""
    return (
        f"a worker process of Beam {how} in the middle of its work.{memory} Run again: finished "
        "stages are cached. Fewer workers need less memory: lower run.beam_workers, or the stage's "
        "own workers under beam"
    )
