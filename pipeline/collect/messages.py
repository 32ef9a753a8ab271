"""What brokers deliver, whichever they are, and what keeps one from delivering."""

import dataclasses
from collections.abc import Callable
from typing import Protocol


class StreamError(Exception):
    """A broker that refuses, so that trying again is of no use; the message names the mend."""


@dataclasses.dataclass(frozen=True)
class Messages:
    """Messages as columns: all lists are of one length.

    Attributes:
      payloads: their content; None where there is none, as in Kafka's tombstones.
      topics: where they were published.
      keys: Kafka's keys, or None.
      arrived: microseconds since the epoch: the broker's time stamp, else the collector's clock.
      partitions: Kafka's partition, or None.
      numbers: the offset in it, or MQTT's packet id.
    """

    payloads: list[bytes | None] = dataclasses.field(default_factory=list)
    topics: list[str] = dataclasses.field(default_factory=list)
    keys: list[bytes | None] = dataclasses.field(default_factory=list)
    arrived: list[int] = dataclasses.field(default_factory=list)
    partitions: list[int | None] = dataclasses.field(default_factory=list)
    numbers: list[int] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.payloads)


class Broker(Protocol):
    """A connection that delivers at least once: what isn't acknowledged comes again."""

    @property
    def full(self) -> bool:
        """Whether the broker will soon send no more before something is acknowledged."""

    def open(self, before_taken_away: Callable[[], bool]) -> None:
        """Begins to connect.

        Args:
          before_taken_away: called before messages go to another collector; it lands what has
            been delivered, which acknowledges it.

        Raises:
          StreamError: if the client isn't installed or a login's variable isn't set.
        """

    def poll(self, seconds: float, hold: bool = False) -> Messages:
        """Waits for messages.

        Args:
          seconds: for how long at most.
          hold: whether to keep the connection without asking for more; a few that were under way
            may still come.

        Raises:
          StreamError: if the broker refuses for good.
        """

    def acknowledge(self) -> None:
        """Tells the broker that all that ``poll`` gave is on disk."""

    def close(self) -> None:
        """Ends the connection; what was acknowledged is told first."""
