"""How long steps wait for their batch: time in which whatever computes them stands still."""

import time
from typing import Any


class InputClock:
    """Counts the seconds that training spends between asking for a batch and having it.

    Keras fetches batches inside the compiled step, where no callback looks and what a clock tells
    depends on what else the step has to do. With a clock each is fetched before the step; that one
    more call costs a tenth of a millisecond.

    Attributes:
      seconds: all that was waited so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def following(self, iterator: Any) -> Any:
        """The iterator's next batch."""
        asked = time.perf_counter()
        batch = next(iterator)
        self.seconds += time.perf_counter() - asked
        return batch
