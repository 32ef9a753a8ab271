"""Which stage runs when: each as soon as what it waits for is done, as many at once as may be."""

from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import Connection, wait
from typing import Protocol

from pipeline.local.stage import Stage, Task


class Running(Protocol):
    """A stage that runs beside this process; see ``pipeline.local.fork.Fork``."""

    @property
    def connection(self) -> Connection:
        """Readable when ``receive`` has something."""

    def receive(self) -> str | Stage:
        """A line of progress, or what became of it."""

    def allow(self) -> None:
        """Lets it publish what it makes."""

    def stop(self) -> Stage:
        """Ends it."""


class Schedule:
    """Runs tasks.

    After a failure nothing new begins. Stages that run by then end by themselves, so that the next
    run has their results; one that works ahead of a gate is stopped.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        start: Callable[[str], Running | Stage],
        observe: Callable[[Stage], None],
        progress: Callable[[str, str], None],
        at_once: int,
        done: Collection[str] = (),
    ) -> None:
        """Makes a schedule.

        Args:
          tasks: in an order in which they could run one after another.
          start: begins a stage by its node; what became of it where it ran in this process.
          observe: told of each stage that begins or ends.
          progress: told the node and the line where a running stage tells one.
          at_once: how many may run at once. Of these at least one is never one that works ahead.
          done: stages that are not among the tasks and that these may wait for.
        """
        self._waiting = {task.node: task for task in tasks}
        self._start = start
        self._observe = observe
        self._progress = progress
        self._at_once = at_once
        self._running: dict[str, Running] = {}
        self._ahead: dict[str, Task] = {}
        self._held: dict[str, Stage] = {}
        self._done = set(done)
        self._failed: Stage | None = None

    def run(self) -> Stage | None:
        """Runs them all; returns the stage that failed first, if one did."""
        while True:
            self._begin()
            if not self._running:
                return self._failed
            connections = {work.connection: node for node, work in self._running.items()}
            for connection in wait(list(connections)):
                node = connections[connection]  # type: ignore[index]
                # Stopped meanwhile: another failed in the same moment.
                if node in self._running:
                    self._hear(node, self._running[node].receive())

    def _begin(self) -> None:
        while self._failed is None and len(self._running) < self._at_once:
            task = self._next()
            if task is None:
                return
            del self._waiting[task.node]
            if not task.after <= self._done:
                self._ahead[task.node] = task
            self._observe(Stage(task.node, "running"))
            begun = self._start(task.node)
            if isinstance(begun, Stage):
                self._settle(begun)
                continue
            self._running[task.node] = begun
            if task.node not in self._ahead:
                begun.allow()

    def _next(self) -> Task | None:
        for task in self._waiting.values():
            if task.after <= self._done:
                return task
        if len(self._ahead) < self._at_once - 1:
            for task in self._waiting.values():
                if task.inputs <= self._done:
                    return task
        return None

    def _hear(self, node: str, told: str | Stage) -> None:
        if isinstance(told, str):
            self._progress(node, told)
            return
        del self._running[node]
        if node in self._ahead:
            # It failed, or was cached: neither counts before the gate has said its word.
            self._held[node] = told
        else:
            self._settle(told)

    def _settle(self, stage: Stage) -> None:
        self._observe(stage)
        if stage.state == "failed":
            self._failed = self._failed or stage
            for node in self._ahead:
                if node in self._running:
                    self._observe(self._running.pop(node).stop())
                else:
                    held = self._held.pop(node)
                    self._observe(Stage(node, "stopped", held.seconds))
            self._ahead.clear()
            return
        self._done.add(stage.node)
        for node in [n for n, task in self._ahead.items() if task.after <= self._done]:
            del self._ahead[node]
            if node in self._running:
                self._running[node].allow()
            else:
                self._settle(self._held.pop(node))
