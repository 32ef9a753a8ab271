"""Cutting a stretch of time into parts that are read side by side."""

import dataclasses
import itertools

from components.ingest.durations import format_instant
from components.ingest.plan import Times


@dataclasses.dataclass(frozen=True)
class TimePart:
    """The rows with ``begin <= time < end``, microseconds since the epoch.

    ``entities`` are those whose rows are wanted; None: all.
    """

    begin: int
    end: int
    entities: tuple[int | str | bytes, ...] | None = None

    def __str__(self) -> str:
        return f"{format_instant(self.begin)} to {format_instant(self.end)}"


def time_parts(times: Times, count: int) -> tuple[TimePart, ...]:
    """Cuts a stretch of time into ``count`` equal parts, fewer where it has fewer instants."""
    span = times.end - times.begin
    cuts = sorted({times.begin + span * i // count for i in range(count)} | {times.end})
    return tuple(TimePart(begin, end) for begin, end in itertools.pairwise(cuts))
