"""Workers as processes on this machine, which talk over the loopback interface."""

import contextlib
import json
import os
import pathlib
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable

from components.distributed_trainer.launch.attempts import Failure, hang, until_done
from components.distributed_trainer.launch.job import Job
from components.distributed_trainer.launch.process import WorkerProcess
from components.distributed_trainer.settings import LoopbackWorkers
from components.distributed_trainer.worker import HEARTBEAT_FILE, TRANSIENT

HOST = "127.0.0.1"
_ROOT = pathlib.Path(__file__).resolve().parents[3]
_PORT_TRIES = 5
_CLASHES = ("Could not start gRPC server", "Address already in use")
_TICK = 0.2
_LAST_WORDS = 1.0
"""Seconds that others get to end once a worker has: a killed one tells more than its victims."""
_STACKS = 2.0
"""Seconds that hung workers get to write their stacks."""


class Loopback:
    """The launcher ``loopback``; for CPUs: for the GPUs of one machine ``mirrored`` is faster."""

    def __init__(self, settings: LoopbackWorkers) -> None:
        self._settings = settings

    def run(self, job: Job) -> None:
        """See ``Launcher.run``."""
        scratch = pathlib.Path(job.scratch)
        scratch.mkdir(parents=True, exist_ok=True)
        file = scratch / "job.json"
        file.write_text(job.to_json(), encoding="utf-8")
        until_done(lambda: self._on_free_ports(file), self._settings.restarts)

    def _on_free_ports(self, job: pathlib.Path) -> Failure | None:
        for _ in range(_PORT_TRIES):
            failure = self._attempt(job)
            if failure is None or not failure.clash:
                break
        return failure

    def _attempt(self, job: pathlib.Path) -> Failure | None:
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            workers: list[WorkerProcess] = []
            for index, environment in enumerate(environments(job.parent, self._settings.count)):
                command = [sys.executable, "-m", "components.distributed_trainer.worker"]
                command += ["--job", str(job), "--end-with-launcher"]
                heartbeat = pathlib.Path(environment[HEARTBEAT_FILE])
                worker = WorkerProcess(index, command, environment, heartbeat, selector)
                stack.callback(worker.end)
                workers.append(worker)
            while any(worker.code is None for worker in workers):
                _read(selector, _TICK)
                if any(worker.code not in (None, 0) for worker in workers):
                    _read_until(selector, lambda: _is_told(workers), _LAST_WORDS)
                    break
                hung = self._hung(workers)
                if hung is not None:
                    for worker in workers:
                        worker.dump_stacks()
                    _read_until(selector, lambda: _all_ended(workers), _STACKS)
                    return hung
            _read(selector, 0)
            return _why(workers)

    def _hung(self, workers: list[WorkerProcess]) -> Failure | None:
        running = [worker for worker in workers if worker.code is None]
        for worker in sorted(running, key=WorkerProcess.silence, reverse=True):
            silence = worker.silence()
            if failure := hang(self._settings, worker.index, worker.has_begun, silence):
                return failure
        return None


def environments(scratch: pathlib.Path, count: int) -> list[dict[str, str]]:
    """Each worker's environment.

    The processors are shared out, else each worker's thread pools would have as many threads as
    there are processors. GPUs are hidden: NCCL takes no two workers on one.

    Args:
      scratch: the job's folder.
      count: how many workers.
    """
    cluster = {"worker": [f"{HOST}:{port}" for port in free_ports(count)]}
    # macOS has no such call.
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = str(max(1, processors // count))
    made = []
    for index in range(count):
        # What a killed worker leaves in its folder of temporary files goes with the job's.
        temporary = scratch / f"worker-{index}"
        temporary.mkdir(exist_ok=True)
        settled = {
            "TF_CONFIG": json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": index}}
            ),
            HEARTBEAT_FILE: str(temporary / "heartbeat"),
            "TMPDIR": str(temporary),
            "CUDA_VISIBLE_DEVICES": "",
            "no_grpc_proxy": HOST,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
        }
        shared = {
            "OMP_NUM_THREADS": threads,
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": threads,
        }
        made.append({**shared, **os.environ, **settled})
    return made


def free_ports(count: int) -> list[int]:
    """Ports that were free just now, each another; one may be taken before it is used."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def _read(selector: selectors.BaseSelector, seconds: float) -> None:
    """Takes in all that workers have written, waiting so long at most for the first of it."""
    while ready := selector.select(seconds):
        for key, _ in ready:
            key.data.read(key.fileobj)
        seconds = 0


def _read_until(
    selector: selectors.BaseSelector, is_over: Callable[[], bool], seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while not is_over() and time.monotonic() < deadline:
        _read(selector, _TICK)


def _is_told(workers: list[WorkerProcess]) -> bool:
    """Whether no worker that still runs can tell more of why another ended."""
    return _all_ended(workers) or any(
        worker.code is not None and worker.code < 0 and worker.code != -signal.SIGABRT
        for worker in workers
    )


def _all_ended(workers: list[WorkerProcess]) -> bool:
    return all(worker.code is not None for worker in workers)


def _why(workers: list[WorkerProcess]) -> Failure | None:
    """Of the workers that failed the one that drew the others along; None if none failed."""
    failed = [(worker, worker.code) for worker in workers if worker.code not in (None, 0)]
    if not failed:
        return None

    def rank(one: tuple[WorkerProcess, int | None]) -> tuple[int, float]:
        worker, code = one
        assert code is not None
        if code < 0:
            # TensorFlow itself aborts where a peer is gone.
            return (2 if code == -signal.SIGABRT else 0), worker.failed_at
        return (3 if code == TRANSIENT else 1), worker.failed_at

    worker, code = min(failed, key=rank)
    assert code is not None
    who = f"worker {worker.index} of {len(workers)}"
    if code < 0:
        text = f"{who} was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            text += ": the machine may have run out of memory"
        return Failure(text + worker.last_lines(), passing=True)
    if worker.failure is None:
        return Failure(f"{who} ended with code {code}{worker.last_lines()}", code == TRANSIENT)
    clash = not worker.has_begun and any(words in worker.failure for words in _CLASHES)
    return Failure(f"{who} failed: {worker.failure}", code == TRANSIENT, clash)
