"""Runs the rows of several requests as one, and bounds what waits.

Adaptive unless told otherwise: a request runs at once on an idle thread, and what queues up while
all threads are busy makes the next batch. Where requests come so close together that more are due
within 2 ms, it waits for those, and no longer: gRPC hands requests over one by one, and a batch of
each would cost more than running it. With BatchingParameters the queue behaves as TensorFlow's
shared_batch_scheduler.h does.
"""

import asyncio
import collections
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np

from serving.server.batches import Arrays, Task, run_batch
from serving.server.batching_parameters import ADAPTIVE, CORES, BatchingParameters
from serving.server.errors import ServingError

__all__ = ["ADAPTIVE", "CORES", "BatchingParameters", "Queue", "Scheduler"]

_FULL = "The batch scheduling queue to which this task was submitted is full"
_HOLD = 0.002
"""Seconds that an adaptive batch waits at most for the requests that are due by then."""
_MEMORY = 0.1
"""Seconds over which the rate of requests is averaged."""
_LATE = "Run() timeout exceeded while waiting in batching queue"


class Queue:
    """What waits for one signature of one version.

    Args:
      scheduler: runs the batches.
      run: the signature: inputs by name to outputs by name; called in a thread.
      model: the model's name, for metrics.
      batched: whether the signature takes the rows of several requests at once.
    """

    def __init__(
        self,
        scheduler: "Scheduler",
        run: Callable[[Mapping[str, np.ndarray]], Arrays],
        model: str,
        batched: bool,
    ) -> None:
        self.run, self.model, self.batched = run, model, batched
        self.tasks: collections.deque[Task] = collections.deque()
        self.rows = 0
        self._scheduler = scheduler

    @property
    def capacity(self) -> int:
        """Rows that may wait; more are refused."""
        parameters = self._scheduler.parameters
        return parameters.max_enqueued_batches * parameters.batch_rows

    async def ask(self, inputs: Mapping[str, np.ndarray], deadline: float | None) -> Arrays:
        """Waits for the outputs of one request.

        Args:
          inputs: by name, the batch as dimension 0.
          deadline: a ``time.monotonic()`` value.

        Raises:
          ServingError: UNAVAILABLE if the queue is full, DEADLINE_EXCEEDED, INVALID_ARGUMENT for
            what cannot be batched, or what the model failed with.
        """
        parameters, strict = self._scheduler.parameters, self._scheduler.strict
        rows = _rows(inputs)
        if strict and self.batched:
            _check(inputs, rows, parameters)
        whole = rows is not None and self.batched
        count = rows if rows is not None and whole else 1
        self._admit(count)
        limit = parameters.batch_rows
        if not (parameters.enable_large_batch_splitting and whole and count > limit):
            return await self._submit(inputs, count, whole, deadline)
        cuts = range(0, count, limit)
        parts = await asyncio.gather(
            *(
                self._submit(
                    {name: array[cut : cut + limit] for name, array in inputs.items()},
                    min(limit, count - cut),
                    True,
                    deadline,
                )
                for cut in cuts
            )
        )
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _admit(self, rows: int) -> None:
        if not self._scheduler.strict and not self.rows:
            return
        if self.rows + rows > self.capacity:
            self._sweep()
        if self.rows + rows > self.capacity:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, _FULL)

    def _sweep(self) -> None:
        """Forgets tasks whose clients have left or whose deadlines have passed."""
        self.tasks = collections.deque(task for task in self.tasks if not task.future.done())
        self.rows = sum(task.rows for task in self.tasks)

    def _submit(
        self, inputs: Mapping[str, np.ndarray], rows: int, whole: bool, deadline: float | None
    ) -> "asyncio.Future[Arrays]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Arrays] = loop.create_future()
        now = time.monotonic()
        key = tuple((name, array.shape[1:]) for name, array in inputs.items()) if whole else None
        task = Task(inputs, rows, key, future, now)
        if deadline is not None:
            if deadline <= now:
                raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, _LATE)
            task.timer = loop.call_later(deadline - now, _expire, future)
        self.tasks.append(task)
        self.rows += rows
        self._scheduler.wake(self)
        return future

    def take(self, limit: int) -> list[Task]:
        """Takes the tasks of the next batch: neighbours that fit together, up to ``limit`` rows."""
        batch: list[Task] = []
        rows = 0
        while self.tasks:
            task = self.tasks[0]
            if not task.future.done():
                alike = not batch or (task.key is not None and task.key == batch[0].key)
                if not alike or (batch and rows + task.rows > limit):
                    break
                batch.append(task)
                rows += task.rows
            self.tasks.popleft()
            self.rows -= task.rows
        return batch


class Scheduler:
    """Shares threads between the queues of all models.

    Args:
      parameters: None for adaptive batching.
      threads: how many batches run at a time where ``parameters`` does not say.
      observe: is told of each batch: model, seconds that its tasks waited, seconds that it ran.
    """

    def __init__(
        self,
        parameters: BatchingParameters | None,
        threads: int,
        observe: Callable[[str, Sequence[float], float], None],
    ) -> None:
        self.strict = parameters is not None
        self.parameters = parameters or ADAPTIVE
        self._threads = parameters.num_batch_threads if parameters else threads
        self._free = self._threads
        self._pool = ThreadPoolExecutor(self._threads, self.parameters.thread_pool_name)
        self._observe = observe
        self._ready: dict[Queue, None] = {}
        self._next: asyncio.Handle | None = None
        self._held = False
        self._rate = self._counted = 0.0

    def wake(self, queue: Queue) -> None:
        """Says that a queue has one more task."""
        self._ready.setdefault(queue)
        now = time.monotonic()
        self._rate *= math.exp((self._counted - now) / _MEMORY)
        self._counted = now
        if self._free < self._threads or len(queue.tasks) > 1:
            # One that comes while others wait or run. Of clients that ask one after the other none
            # is due before the last is answered.
            self._rate += 1 / _MEMORY
        self._schedule(now)

    def close(self) -> None:
        """Ends the threads once they are idle."""
        self._pool.shutdown(wait=True)

    def _schedule(self, now: float) -> None:
        """Has the next batches put together, soon or once enough has come for them."""
        if not self._free or not self._ready:
            return
        wait = 0.0 if self.strict else self._hold(now)
        if self._next is not None:
            if wait or not self._held:
                return
            self._next.cancel()
        loop = asyncio.get_running_loop()
        # Not at once: all requests that this turn of the event loop brings make one batch.
        self._next = loop.call_later(wait, self._pump) if wait else loop.call_soon(self._pump)
        self._held = wait > 0

    def _hold(self, now: float) -> float:
        """Seconds to wait for more requests; 0 where none is due, or those due have come."""
        if sum(len(queue.tasks) for queue in self._ready) >= math.floor(self._rate * _HOLD):
            return 0.0
        oldest = min((queue.tasks[0].since for queue in self._ready if queue.tasks), default=0.0)
        return max(0.0, oldest + _HOLD - now)

    def _pump(self) -> None:
        self._next, self._held = None, False
        loop = asyncio.get_running_loop()
        limit, timeout = self.parameters.batch_rows, self.parameters.batch_timeout_micros / 1e6
        waits: list[float] = []
        for queue in list(self._ready):
            if not self._free:
                break
            if timeout and queue.tasks and queue.rows < limit:
                left = queue.tasks[0].since + timeout - time.monotonic()
                if left > 0:
                    waits.append(left)
                    continue
            del self._ready[queue]
            batch = queue.take(limit)
            if queue.tasks:
                self._ready[queue] = None  # behind the others
            if batch:
                self._free -= 1
                self._pool.submit(self._work, loop, queue, batch)
        if self._free and any(queue.rows >= limit or not timeout for queue in self._ready):
            self._schedule(time.monotonic())
        elif waits:
            loop.call_later(min(waits), self._pump)

    def _work(self, loop: asyncio.AbstractEventLoop, queue: Queue, batch: list[Task]) -> None:
        begin = time.monotonic()
        sizes = self.parameters.allowed_batch_sizes if queue.batched else ()
        answers = run_batch(queue.run, batch, sizes)
        seconds = time.monotonic() - begin
        loop.call_soon_threadsafe(self._finish, queue, batch, answers, begin, seconds)

    def _finish(
        self,
        queue: Queue,
        batch: list[Task],
        answers: Sequence[Arrays | Exception],
        begin: float,
        seconds: float,
    ) -> None:
        self._free += 1
        for task, answer in zip(batch, answers, strict=True):
            if task.timer is not None:
                task.timer.cancel()
            if task.future.done():
                continue
            if isinstance(answer, Exception):
                task.future.set_exception(answer)
            else:
                task.future.set_result(answer)
        self._observe(queue.model, [begin - task.since for task in batch], seconds)
        self._schedule(time.monotonic())


def _rows(inputs: Mapping[str, np.ndarray]) -> int | None:
    """The rows that all inputs have, or None if they differ or one has no dimension."""
    rows = {array.shape[0] if array.ndim else None for array in inputs.values()}
    return rows.pop() if len(rows) == 1 else None


def _check(
    inputs: Mapping[str, np.ndarray], rows: int | None, parameters: BatchingParameters
) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    if any(not array.ndim for array in inputs.values()):
        raise ServingError(invalid, "Batching Run() input tensors must have at least one dimension")
    if rows is None:
        raise ServingError(
            invalid, "Batching Run() input tensors must have equal 0th-dimension size"
        )
    if rows > parameters.max_batch_size:
        raise ServingError(
            invalid,
            f"Task size {rows} is larger than maximum input batch size {parameters.max_batch_size}",
        )


def _expire(future: "asyncio.Future[Arrays]") -> None:
    if not future.done():
        future.set_exception(ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, _LATE))
