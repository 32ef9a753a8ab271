"""What a process and all that it started use, looked at again and again."""

import dataclasses
import pathlib
import re
import threading
import time

import psutil

_EVERY = 0.1
_SHARE = 0.1
"""Of a core's time that looking may take: adding up a gigabyte's pages takes 20 ms."""


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at all processes together.

    Attributes:
      at: seconds since the epoch.
      cpu: seconds of processor time so far, of those that have ended, too.
      memory: bytes in memory. Pages that processes share since a fork count once, and of the files
        that they have mapped, libraries above all, those of the process with most. Where the system
        does not tell (macOS), all of each process.
    """

    at: float
    cpu: float
    memory: int


class TreeWatch:
    """Looks at a process and its descendants until it is told to stop; a context manager.

    Attributes:
      looks: in the order of time.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
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
        pause = _EVERY
        while not self._over.wait(pause):
            began = time.thread_time()
            try:
                below = self._root.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            cpu, own, mapped = 0.0, 0, 0
            for process in [self._root, *below]:
                try:
                    held = _held(process)
                    # A process that was waited for lives on in its parent's children times.
                    cpu += sum(process.cpu_times()[:4])
                except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
                    continue
                own += held[0]
                mapped = max(mapped, held[1])
            # One that ends while it is looked at is in neither's times.
            cpu = max(cpu, self.looks[-1].cpu) if self.looks else cpu
            self.looks.append(Look(time.time(), cpu, own + mapped))
            pause = max(_EVERY, (time.thread_time() - began) / _SHARE)


def _held(process: psutil.Process) -> tuple[int, int]:
    """A process's part of its own pages, and the pages of files that it has mapped, in bytes.

    See https://docs.kernel.org/filesystems/proc.html on ``smaps_rollup``.
    """
    if not psutil.LINUX:
        return process.memory_info().rss, 0
    told = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    own = re.findall(r"^Pss_(?:Anon|Shmem): +(\d+) kB", told, re.MULTILINE)
    return 1024 * sum(map(int, own)), process.memory_info().shared
