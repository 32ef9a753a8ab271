"""The versions of one model: seen, loaded, warmed up, published, and unloaded once replaced.

A version is unloaded only while another one serves that is wanted, as TensorFlow Serving's
availability_preserving_policy.h has it: a broken candidate never disturbs what serves.
"""

import asyncio
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2

from serving.server.errors import ServingError
from serving.server.policies import folder_of, numbered
from serving.server.servable import Servable, as_serving_error
from serving.server.warmup import warm_up

_log = logging.getLogger(__name__)
_KEPT = 100
_UNLOAD_SECONDS = 600.0
LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"


@dataclasses.dataclass
class Version:
    """One version.

    Attributes:
      number: the version.
      state: as GetModelStatus names it.
      error: of the last load; also while it is retried.
      servable: while it is AVAILABLE or UNLOADING.
      failures: loads that failed in a row.
      retry_at: when to try again, ``time.monotonic()``; None for never.
      seen: what the folder looked like when it was loaded.
    """

    number: int
    state: str = LOADING
    error: ServingError | None = None
    servable: Servable | None = None
    failures: int = 0
    retry_at: float | None = None
    seen: object = None


class Versions:
    """Watches and holds a model's versions; used on one event loop.

    Args:
      model: its name.
      base: the folder with its versions.
      wanted: of the versions that there are, those to serve, in the order to load them.
      loader: one thread that loads and unloads.
      load: makes a servable of a folder.
      max_retries: how often a failed load is tried again; a folder that changes begins anew.
      retry_seconds: between two tries.
      changed: is told of a version's new state.
    """

    def __init__(
        self,
        model: str,
        base: str,
        wanted: Callable[[Iterable[int]], list[int]],
        loader: Executor,
        load: Callable[[str], Servable],
        max_retries: int,
        retry_seconds: float,
        changed: Callable[[Version], None],
    ) -> None:
        self.model, self.base, self.wanted = model, base, wanted
        self.all: dict[int, Version] = {}
        self._loader, self._load, self._changed = loader, load, changed
        self._max_retries, self._retry_seconds = max_retries, retry_seconds
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._warned = ""
        self._gone = False

    def available(self) -> list[int]:
        """The versions that answer, ascending."""
        return sorted(n for n, version in self.all.items() if version.state == AVAILABLE)

    def newest(self) -> Version | None:
        """The newest that answers."""
        numbers = self.available()
        return self.all[numbers[-1]] if numbers else None

    def poll(self) -> None:
        """Looks at the folder and begins what is to be done; returns at once."""
        try:
            numbers = self.wanted(numbered(child.name for child in Path(self.base).iterdir()))
        except OSError as error:
            # What serves goes on: a network file system may be away for a moment.
            self._warn(f"Could not find base path {self.base} for servable {self.model}: {error}")
            return
        if not numbers:
            self._warn(f"No versions of servable {self.model} found under base path {self.base}")
        else:
            self._warned = ""
        self._begin_loads(numbers)
        self._begin_unloads(numbers)

    def remove(self) -> None:
        """Begins to unload everything: the model is gone from the configuration."""
        self._gone = True
        self._begin_unloads([])

    async def close(self) -> None:
        """Unloads everything, loads under way too."""
        self.remove()
        while self._busy:
            await asyncio.gather(*self._busy.values(), return_exceptions=True)
            self.remove()

    def _begin_loads(self, numbers: list[int]) -> None:
        now = time.monotonic()
        for number in numbers:
            version = self.all.get(number)
            if number in self._busy or (version is not None and version.state == AVAILABLE):
                continue
            seen = _look(folder_of(self.base, number))
            if version is None or (version.state == END and version.error is None):
                version = self.all[number] = Version(number)
            elif version.seen != seen:
                version.failures = 0
            elif version.retry_at is None or now < version.retry_at:
                continue
            version.seen = seen
            self._set(version, LOADING)
            self._start(number, self._bring_up(version))

    def _begin_unloads(self, numbers: list[int]) -> None:
        serving = set(self.available())
        if numbers and not serving.intersection(numbers):
            return
        for number in serving.difference(numbers):
            if number not in self._busy:
                version = self.all[number]
                self._set(version, UNLOADING)
                self._start(number, self._take_down(version))
        for number, version in self.all.items():
            if number not in numbers and number not in self._busy and version.state == LOADING:
                self._set(version, END)
        for number in [n for n, v in self.all.items() if v.state == END and n not in numbers][
            :-_KEPT
        ]:
            del self.all[number]

    async def _bring_up(self, version: Version) -> None:
        folder = folder_of(self.base, version.number)
        loop = asyncio.get_running_loop()
        try:
            version.servable = await loop.run_in_executor(self._loader, self._prepare, folder)
        except Exception as error:
            version.error = as_serving_error(error)
            version.failures += 1
            again = version.failures <= self._max_retries
            version.retry_at = time.monotonic() + self._retry_seconds if again else None
            _log.warning("version %d of %s: %s", version.number, self.model, version.error)
            self._set(version, LOADING if again else END)
            return
        version.error, version.retry_at, version.failures = None, None, 0
        self._set(version, AVAILABLE)

    def _prepare(self, folder: str) -> Servable:
        servable = self._load(folder)
        try:
            warm_up(servable)
        except Exception:
            servable.close()
            raise
        return servable

    async def _take_down(self, version: Version) -> None:
        servable, loop = version.servable, asyncio.get_running_loop()
        assert servable is not None
        # Not in the loader's thread: a long request must not hold up the next version.
        if not await loop.run_in_executor(None, servable.wait_idle, _UNLOAD_SECONDS):
            _log.warning("version %d of %s: a request does not end", version.number, self.model)
        version.servable = None
        await loop.run_in_executor(self._loader, servable.close)
        self._set(version, END)

    def _start(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            finally:
                del self._busy[number]
            if not self._gone:
                self.poll()  # a finished load makes the old version's end possible

        self._busy[number] = asyncio.get_running_loop().create_task(run())

    def _set(self, version: Version, state: str) -> None:
        version.state = state
        self._changed(version)

    def _warn(self, message: str) -> None:
        if message != self._warned:
            self._warned = message
            _log.warning(message)


def to_status(version: Version) -> get_model_status_pb2.ModelVersionStatus:
    """A version as GetModelStatus reports it."""
    status = get_model_status_pb2.ModelVersionStatus()
    status.version = version.number
    status.state = get_model_status_pb2.ModelVersionStatus.State.Value(version.state)
    if version.error is not None:
        status.status.error_code = version.error.code.value[0]
        status.status.error_message = version.error.message
    return status


def _look(folder: str) -> object:
    """What changes when a folder's files do: names, sizes and times down to the variables."""
    seen: list[tuple[str, int, int]] = []
    for root, _, names in os.walk(folder):
        for name in sorted(names):
            try:
                info = (Path(root) / name).stat()
            except OSError:
                continue
            seen.append((f"{root}/{name}", info.st_size, info.st_mtime_ns))
    return seen
