"""Sends requests at a rate or over connections, and measures what a caller would feel.

At a rate (open loop), requests leave at their times whether or not earlier ones were answered, and
a request's time counts from when it was due: a server that stalls is charged for all who wait.
Over connections (closed loop), each sends its next request when the last is answered, which shows
the most a server can do and hides its tail. See G. Tene, "How NOT to Measure Latency" (2015).
"""

import asyncio
import collections
import contextlib
import dataclasses
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

Send = Callable[[int], Awaitable[None]]
"""Sends the request of that running number and returns when it is answered; raises if it failed."""

LATE_SECONDS = 0.005


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of some load.

    Attributes:
      sent: requests that were sent.
      failures: how many failed, by what was raised.
      seconds: from the first request to the last answer.
      latencies: seconds of the requests that were answered, in no order.
      late: requests that left more than LATE_SECONDS after they were due because this process had
        no time: with many, its figures say more of the sender than of the server.
    """

    sent: int
    failures: Mapping[str, int]
    seconds: float
    latencies: npt.NDArray[np.float64]
    late: int = 0

    @property
    def failed(self) -> int:
        """Requests that failed."""
        return sum(self.failures.values())

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile_ms(self, percent: float) -> float:
        """What so many percent of the answered requests took at most, in ms; NaN without any."""
        if not len(self.latencies):
            return float("nan")
        return float(np.percentile(self.latencies, percent)) * 1_000


async def at_rate(
    send: Send, rate: float, seconds: float, *, seed: int = 0, most_waiting: int = 10_000
) -> Result:
    """Sends requests at random times (a Poisson process), whether or not they are answered.

    Args:
      send: sends one.
      rate: requests a second on average.
      seconds: for how long.
      seed: of the times between requests.
      most_waiting: from so many unanswered requests on, further ones fail unsent as ``Overrun``:
        the server has fallen behind for good.
    """
    generator = np.random.default_rng(seed)
    due = np.cumsum(generator.exponential(1 / rate, size=max(1, round(rate * seconds))))
    latencies: list[float] = []
    failures: collections.Counter[str] = collections.Counter()
    waiting: set[asyncio.Task[None]] = set()
    late = 0

    async def one(number: int, scheduled: float) -> None:
        try:
            await send(number)
        except Exception as error:
            failures[_reason(error)] += 1
        else:
            latencies.append(time.perf_counter() - scheduled)

    with _short_collections():
        began = time.perf_counter()
        for number, offset in enumerate(due.tolist()):
            scheduled = began + offset
            ahead = scheduled - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            elif number % 64 == 0:
                await asyncio.sleep(0)
            late += time.perf_counter() - scheduled > LATE_SECONDS
            if len(waiting) >= most_waiting:
                failures["Overrun"] += 1
                continue
            task = asyncio.create_task(one(number, scheduled))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        if waiting:
            await asyncio.wait(waiting)
        took = time.perf_counter() - began
    return Result(len(due), dict(failures), took, np.array(latencies), late)


async def over_connections(send: Send, connections: int, seconds: float) -> Result:
    """Sends requests as fast as they are answered.

    Args:
      send: sends one.
      connections: how many at once.
      seconds: for how long; requests under way are waited for.
    """
    latencies: list[float] = []
    failures: collections.Counter[str] = collections.Counter()
    end, sent = 0.0, 0

    async def one() -> None:
        nonlocal sent
        while (start := time.perf_counter()) < end:
            number, sent = sent, sent + 1
            try:
                await send(number)
            except Exception as error:
                failures[_reason(error)] += 1
                # A server that refuses at once would else be asked as fast as this process can.
                await asyncio.sleep(0.01)
            else:
                latencies.append(time.perf_counter() - start)

    with _short_collections():
        began = time.perf_counter()
        end = began + seconds
        await asyncio.gather(*(one() for _ in range(connections)))
        took = time.perf_counter() - began
    return Result(sent, dict(failures), took, np.array(latencies))


@contextlib.contextmanager
def _short_collections() -> Iterator[None]:
    """Keeps the garbage collector from walking all that is loaded, such as TensorFlow.

    That takes 0.3 s, in which this process sends and receives nothing: its own pause would be told
    as the server's.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _reason(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__
