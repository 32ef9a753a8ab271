"""What a process and all that it started use, looked at twenty times a second."""

import dataclasses
import threading
import time

import psutil

_EVERY = 0.05


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at all processes together.

    Attributes:
      at: seconds since the epoch.
      cpu: seconds of processor time so far, of those that have ended, too.
      resident: bytes in memory; a page that two processes share counts in both.
      processes: how many there are.
    """

    at: float
    cpu: float
    resident: int
    processes: int


class TreeWatch:
    """Looks at a process and its descendants until it is told to stop; a context manager.

    Attributes:
      looks: in the order of time.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known: dict[int, psutil.Process] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.looks: list[Look] = []

    def __enter__(self) -> "TreeWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            try:
                below = self._root.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            cpu, resident, count = 0.0, 0, 0
            for process in [self._root, *below]:
                try:
                    with process.oneshot():
                        # A process that was waited for lives on in its parent's children times.
                        cpu += sum(process.cpu_times()[:4])
                        resident += process.memory_info().rss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
                count += 1
            self.looks.append(Look(time.time(), cpu, resident, count))
