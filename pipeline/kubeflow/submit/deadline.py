"""A bound on how long something may take, whatever it waits for."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def within(seconds: float, call: Callable[[], Answer]) -> Answer:
    """Calls it in a thread and gives it up when the time is over.

    Sockets' timeouts do not bound a look-up of the host's name, nor a server that sends a byte now
    and then. A thread that is given up ends with the process.

    Raises:
      TimeoutError: if it takes longer.
      BaseException: what the call raises.
    """
    ended: queue.Queue[tuple[Answer | None, BaseException | None]] = queue.Queue()

    def work() -> None:
        try:
            ended.put((call(), None))
        except BaseException as error:
            ended.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        answer, error = ended.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]
