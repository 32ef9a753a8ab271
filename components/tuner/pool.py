"""Trials side by side, each in a process: one that is killed or hangs is a failed trial."""

import collections
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from components.tuner import worker
from components.tuner.holdout import TuningError

_BEGIN_SECONDS, _END_SECONDS = 300.0, 5.0
OnStep = Callable[[int, int, float], bool]
"""Told a trial, a step and the value so far; whether to stop the trial."""


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Outcome(NamedTuple):
    """What came of a trial: a value, or pruned, or why it failed."""

    value: float | None
    pruned: bool
    why: str
    seconds: float


class _Worker:
    """A process and what it does: nothing yet (``ready`` is False), nothing, or a trial."""

    def __init__(self, target: str, argument: str, threads: int) -> None:
        # Spawned: a fork of a process in which TensorFlow has run hangs.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=worker.main, args=(theirs, target, argument, threads, os.getpid()), daemon=True
        )
        self.process.start()
        theirs.close()
        self.ready = False
        self.trial: int | None = None
        self.begun = time.monotonic()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()

    def death(self) -> str:
        self.process.join(_END_SECONDS)
        code = self.process.exitcode or 0
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with {code}"


class Pool:
    """Processes that run trials; a context manager, after which none of them is left."""

    def __init__(self, target: str, argument: str, processes: int, trial_seconds: float) -> None:
        """Starts nothing yet.

        Args:
          target: ``module:function`` that makes a ``worker.Objective`` in each process.
          argument: what that function is given.
          processes: how many at once; the machine's cores are divided among them.
          trial_seconds: a trial that takes longer is ended.
        """
        self._make = lambda: _Worker(target, argument, max(1, cores() // processes))
        self._processes = processes
        self._trial_seconds = trial_seconds
        self._workers: list[_Worker] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._workers:
            each.kill()
        self._workers.clear()

    def run(self, trials: Mapping[int, Mapping[str, Any]], on_step: OnStep) -> dict[int, Outcome]:
        """Runs trials.

        Args:
          trials: hyperparameters by the trial's number.
          on_step: called in this thread with what trials report.

        Raises:
          TuningError: if a process can't begin with any trial.
        """
        waiting = collections.deque(trials)
        outcomes: dict[int, Outcome] = {}
        while len(outcomes) < len(trials):
            wanted = min(self._processes, len(trials) - len(outcomes))
            while len(self._workers) < wanted:
                self._workers.append(self._make())
            for idle in [w for w in self._workers if w.ready and w.trial is None]:
                if waiting:
                    idle.trial, idle.begun = waiting.popleft(), time.monotonic()
                    # One that has died meanwhile is heard of below.
                    with contextlib.suppress(OSError):
                        idle.connection.send(trials[idle.trial])
            ends = {each: self._end(each) for each in self._workers}
            patience = max(0.0, min(ends.values()) - time.monotonic())
            heard = wait(
                [each.connection for each in self._workers],
                None if patience == float("inf") else patience,
            )
            for each, end in ends.items():
                if each.connection in heard:
                    self._hear(each, on_step, outcomes)
                elif time.monotonic() >= end:
                    limit = self._trial_seconds if each.ready else _BEGIN_SECONDS
                    self._lose(each, f"it took longer than {limit:g} s", outcomes)
        return outcomes

    def _end(self, each: _Worker) -> float:
        if each.ready and each.trial is None:
            return float("inf")
        return each.begun + (self._trial_seconds if each.ready else _BEGIN_SECONDS)

    def _hear(self, each: _Worker, on_step: OnStep, outcomes: dict[int, Outcome]) -> None:
        try:
            kind, told = each.connection.recv()
        except (EOFError, OSError):
            self._lose(each, each.death(), outcomes)
            return
        if kind == "step" and each.trial is not None:
            stop = on_step(each.trial, *told)
            with contextlib.suppress(OSError):
                each.connection.send(stop)
            return
        if kind == "broken":
            raise TuningError(f"no trial can begin: {told}")
        if kind == "ready":
            each.ready = True
            return
        assert each.trial is not None
        seconds = time.monotonic() - each.begun
        value = told if kind == "done" else None
        why = told if kind == "failed" else ""
        outcomes[each.trial] = Outcome(value, kind == "pruned", why, seconds)
        each.trial = None

    def _lose(self, each: _Worker, why: str, outcomes: dict[int, Outcome]) -> None:
        self._workers.remove(each)
        each.kill()
        if each.trial is not None:
            outcomes[each.trial] = Outcome(None, False, why, time.monotonic() - each.begun)
        elif not each.ready:
            raise TuningError(f"no trial can begin: {why}")
