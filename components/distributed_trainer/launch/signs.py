"""Signs of life over a folder that launcher and workers share where they share no machine.

Each attempt has a folder of its own. In it ``launcher`` is rewritten by the launcher and
``worker-<index>`` by each worker that ends batches; ``worker-<index>.failure`` holds a worker's
last words; where ``stacks`` appears, workers write to their logs where they stand.

A file's content tells, never its time or a clock: clocks differ between machines, and a bucket
keeps no such times.
"""

import contextlib
import itertools
import json
import logging
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from components.distributed_trainer.launch.lines import FAILURE


class Sign:
    """A file whose content changes for as long as its writer lives."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._seen = ""
        self._changed_at = time.monotonic()

    @property
    def is_given(self) -> bool:
        """Whether it had any content when it was last looked at."""
        return bool(self._seen)

    def give(self, content: object) -> None:
        """Writes the content, whole."""
        partial = self._path.with_name(f".{self._path.name}.partial")
        partial.write_text(str(content), encoding="utf-8")
        partial.replace(self._path)

    def silence(self) -> float:
        """Seconds since the content was seen to change, or since this object was made."""
        try:
            content = self._path.read_text(encoding="utf-8")
        except OSError:
            content = ""
        if content and content != self._seen:
            self._seen, self._changed_at = content, time.monotonic()
        return time.monotonic() - self._changed_at


class Signs:
    """The folder of one attempt."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.launcher = Sign(folder / "launcher")

    def worker(self, index: int) -> Sign:
        """A worker's sign."""
        return Sign(self.folder / f"worker-{index}")

    @contextlib.contextmanager
    def living(self, every: float) -> Iterator[None]:
        """Within it the launcher gives its sign, every so many seconds."""
        stopped = threading.Event()

        def live() -> None:
            for number in itertools.count():
                # The folder may be away for a while, as volumes are.
                with contextlib.suppress(OSError):
                    self.launcher.give(number)
                if stopped.wait(every):
                    return

        thread = threading.Thread(target=live, name="launcher's sign", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _failure(self, index: int) -> pathlib.Path:
        return self.folder / f"worker-{index}.failure"

    def tell_failure(self, index: int, record: dict[str, Any]) -> None:
        """Keeps a worker's last words."""
        Sign(self._failure(index)).give(json.dumps(record))

    def failures(self, count: int) -> dict[int, dict[str, Any]]:
        """By worker its last words: ``failure``, and ``created``, seconds since the epoch."""
        found = {}
        for index in range(count):
            try:
                found[index] = json.loads(self._failure(index).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
        return found

    def ask_for_stacks(self) -> None:
        """Asks all workers where they stand."""
        Sign(self.folder / "stacks").give("asked")

    @property
    def stacks_are_asked_for(self) -> bool:
        """Whether workers are to write where they stand."""
        return (self.folder / "stacks").exists()


def pause(orphan_after: float) -> float:
    """Seconds between two signs, or two looks at them, where so much silence ends a worker."""
    return min(10.0, orphan_after / 10)


class FailureFile(logging.Handler):
    """Keeps a worker's last words beside its sign: a pod's log may go with its pod."""

    def __init__(self, signs: Signs, index: int) -> None:
        super().__init__(logging.ERROR)
        self._signs, self._index = signs, index

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record that has them."""
        if hasattr(record, FAILURE):
            told = {FAILURE: getattr(record, FAILURE), "created": record.created}
            try:
                self._signs.tell_failure(self._index, told)
            except OSError:
                self.handleError(record)
