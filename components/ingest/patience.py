"""Reading a source of rows with patience, and not for ever.

A part that breaks off is read again from its beginning, never from where it broke: no database
promises the same order twice. Times stay bound as the plan bound them, so what came later than the
run's ``as_of`` stays out of a second try too. A source that is silent is given up by the thread
that waits for it, for not every driver can be told a time limit; its own thread is left behind, and
ends with the connection or the process.
"""

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from components.ingest.durations import MICROSECONDS, format_duration
from components.ingest.errors import BrokenOffError, ReadAnewError
from components.ingest.plan import Column, Plan, Times
from components.ingest.source import RowSource

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 1.0


def read_part(
    name: str, source: RowSource, times: Times, columns: Sequence[Column], partition: Any
) -> Iterator[tuple[int, "pa.RecordBatch"]]:
    """Reads one part of a plan; again from its beginning if the source breaks off.

    Yields:
      The number of the try, from 1, and a batch; first, with each try, one without rows. Only the
      last try's batches count.

    Raises:
      BrokenOffError: if the last of ``source.read_attempts`` tries breaks off, too.
      DataError: as ``RowSource.read``.
    """
    import pyarrow as pa

    begun = time.monotonic()
    schema = Plan(tuple(columns), ()).arrow_schema
    nothing = [pa.array([], field.type) for field in schema]
    for attempt in itertools.count(1):
        rows = 0
        yield attempt, pa.RecordBatch.from_arrays(nothing, schema=schema)
        try:
            for batch in _heard(name, source, source.read(name, times, columns, partition)):
                yield attempt, batch
                rows += batch.num_rows
            return
        except ReadAnewError as error:
            logging.getLogger(__name__).warning("%s", error)
            partition = error.partition
        except BrokenOffError as error:
            where = f"{error.where}, part {partition}, after {rows:,} rows"
            _wait_or_raise(source, error, where, attempt, begun)


def plan_parts(name: str, source: RowSource, times: Times) -> Plan:
    """``RowSource.plan``; tried again if the source breaks off.

    Raises:
      DataError: as ``RowSource.plan``.
    """
    begun = time.monotonic()
    for attempt in itertools.count(1):
        try:
            return answered(name, source, lambda: source.plan(name, times))
        except BrokenOffError as error:
            _wait_or_raise(source, error, error.where, attempt, begun)
    raise AssertionError("unreachable")


def answered(name: str, source: RowSource, ask: Callable[[], T]) -> T:
    """What a call of a source's gives, if it comes within ``source.read_timeout``.

    Raises:
      BrokenOffError: if it does not come.
    """
    return next(_heard(name, source, (ask() for _ in (0,))))


def _wait_or_raise(
    source: RowSource, error: BrokenOffError, where: str, attempt: int, begun: float
) -> None:
    """Waits for the next try; raises, with what was tried, after the last one."""
    seconds = time.monotonic() - begun
    tried = f"try {attempt} of {source.read_attempts}, {seconds:.1f} s after the first began"
    told = BrokenOffError(error.source, where, f"{error.rule}; {tried}", error.mend)
    if attempt >= source.read_attempts:
        raise told from None
    wait = min(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1), _LONGEST_WAIT_SECONDS)
    logging.getLogger(__name__).warning("%s; trying again in %.0f s", told, wait)
    time.sleep(wait)


def _heard(name: str, source: RowSource, items: Iterator[T]) -> Iterator[T]:
    """Items of a source, each of which comes within ``source.read_timeout``."""
    handed: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(1)
    given_up = threading.Event()

    def hand(found: list[T], error: BaseException | None = None) -> None:
        while not given_up.is_set():
            try:
                handed.put((found, error), timeout=_LOOK_SECONDS)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                hand([item])
                if given_up.is_set():
                    return
            hand([])
        except BaseException as error:
            hand([], error)
        finally:
            if isinstance(items, Generator):
                items.close()

    threading.Thread(target=work, name=f"read {name}", daemon=True).start()
    try:
        while True:
            try:
                found, error = handed.get(timeout=source.read_timeout / MICROSECONDS["s"])
            except queue.Empty:
                break
            if error is not None:
                raise error
            if not found:
                return
            yield found[0]
    finally:
        given_up.set()
    raise BrokenOffError(
        name,
        source.place(name),
        f"nothing came for {format_duration(source.read_timeout)} (read_timeout)",
        "Check the network and what the server is doing; raise the source's read_timeout if it "
        "needs that long for its first rows",
    )
