"""Work that goes on in threads while its results are used, for code that leaves Python's lock.

Arrow and NumPy let go of the lock while they work on columns, so that threads use all the cores
that ``pyarrow.cpu_count()`` tells of; where it tells of one, no thread is started.
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import pyarrow as pa

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Calls a function for items, in as many threads as there are cores.

    Items are taken as they are needed, in the caller's thread; besides the result that is used at
    most one a core is made or waits.

    Yields:
      The results, in the items' order.
    """
    cores = pa.cpu_count()
    if cores == 1:
        yield from map(function, items)
        return
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        waiting: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) == cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
