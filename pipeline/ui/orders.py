"""What people ordered by a form: done once, however often the form is sent."""

import collections
import dataclasses
import threading
from collections.abc import Callable

_KEPT = 200


@dataclasses.dataclass(frozen=True)
class Told:
    """What came of an order, in words, and whether it was done."""

    text: str
    done: bool


class Orders:
    """The latest orders and what came of them; one is worked at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: collections.OrderedDict[str, Told] = collections.OrderedDict()

    def carry_out(self, order: str, work: Callable[[], Told]) -> Told:
        """Does the work, or tells what came of it when the same order came before.

        A double click sends a form twice, and the browser shows the second answer alone.
        """
        with self._lock:
            if order not in self._told:
                self._told[order] = work()
                while len(self._told) > _KEPT:
                    self._told.popitem(last=False)
            return self._told[order]

    def told(self, order: str) -> Told | None:
        """What came of an order; None if there was none."""
        return self._told.get(order)
