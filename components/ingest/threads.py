"""Work that goes on in threads while its results are used, for code that leaves Python's lock.

Arrow and NumPy let go of the lock while they work on columns, so that threads use all the cores
that ``pyarrow.cpu_count()`` tells of; where it tells of one, no thread is started.
"""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import pyarrow as pa

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Calls a function for items, in as many threads as there are cores.

    Items are taken as they are needed, in the caller's thread: beside the result that is used one
    a core is made or waits, and one more, so that no core rests while the caller takes the next.

    Yields:
      The results, in the items' order.
    """
    cores = pa.cpu_count()
    work = iter(items)
    several = list(itertools.islice(work, 2))
    work = itertools.chain(several, work)
    if cores == 1 or len(several) < 2:
        yield from map(function, work)
        return
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        waiting: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
        try:
            for item in work:
                waiting.append(pool.submit(function, item))
                if len(waiting) > cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
