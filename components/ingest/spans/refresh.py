"""Bringing a source's kept days up to date: which must be read, and that all go together."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence

from components.ingest.errors import DataError
from components.ingest.patience import answered
from components.ingest.source import RowSource
from components.ingest.spans.days import DAY, stretches, times_of, write_day
from components.ingest.spans.reading import STRETCH
from components.ingest.spans.store import Day, DayStore

Reader = Callable[[Sequence[range], dict[int, str], int], Iterable[Day]]
"""Reads stretches and keeps their days: takes the stretches, the watermarks and when they hold."""

_NUMBERS = {"int", "float"}


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """The days of a window, all of them as the source has them now.

    Attributes:
      days: in order.
      read: those of them that were read anew.
      columns: by column the kind that it has in all of them.
    """

    days: list[Day]
    read: list[Day]
    columns: dict[str, str]


def refresh(
    name: str, source: RowSource, store: DayStore, days: range, due: "Due", read: Reader
) -> Refreshed:
    """Reads what is new and what may have changed; the rest is taken as it is kept.

    Days whose columns are not those of what was just read are read too: the source has changed.

    Args:
      name: the source's name.
      source: its settings.
      store: its days.
      days: the days of the window.
      due: which of them must be read.
      read: reads them.

    Raises:
      DataError: as reading does; or days that were read just now don't go together.
    """
    kept = store.load(days)
    fresh = {
        day.day: day for day in read(stretches(due.days(kept), STRETCH), due.watermarks, due.seen)
    }
    newest = next((day.columns for _, day in sorted(fresh.items(), reverse=True) if day.rows), {})
    others = [
        day
        for day, held in kept.items()
        if day not in fresh and held.rows and newest and not _agree(held.columns, newest)
    ]
    fresh |= {day.day: day for day in read(stretches(others, STRETCH), due.watermarks, due.seen)}
    whole = [{**kept, **fresh}[day] for day in days]
    return Refreshed(whole, [fresh[day] for day in sorted(fresh)], _settled(name, whole))


@dataclasses.dataclass(frozen=True)
class Due:
    """What tells which days must be read.

    Attributes:
      wanted: the days that are looked at.
      watermarks: by day what tells its state now; empty where nothing does.
      late: how long after its end a day is read again in any case, microseconds.
      seen: the instant at which that is asked, microseconds since the epoch.
      all: whether all are read.
    """

    wanted: range
    watermarks: dict[int, str]
    late: int
    seen: int
    all: bool = False

    def days(self, kept: dict[int, Day]) -> list[int]:
        """Those that are not kept, have another watermark, or were read before they settled.

        One that was read at a time that is still to come was so by a clock that was set back since.
        """
        return [day for day in self.wanted if self.all or self._is_due(day, kept.get(day))]

    def _is_due(self, day: int, held: Day | None) -> bool:
        if held is None or held.watermark != self.watermarks.get(day, ""):
            return True
        if held.seen > time.time_ns() // 1000:
            return True
        return bool(self.late) and held.seen < (day + 1) * DAY + self.late


def look(
    name: str, source: RowSource, days: range, as_of: int, horizon: int = 0, anew: bool = False
) -> Due:
    """Asks a source for the state of its days.

    Args:
      name: the source's name.
      source: its settings; ``incremental`` is not None.
      days: which days.
      as_of: the instant at which the run stands, microseconds since the epoch; what the clock says
        counts where that is earlier.
      horizon: how long after its end a day's labels settle, for the observations.
      anew: whether all days are read whatever is kept.

    Raises:
      DataError: if the source does not answer.
    """
    assert source.incremental is not None
    each = [times_of(range(day, day + 1)) for day in days]
    told = answered(name, source, lambda: source.day_watermarks(name, each))
    seen = min(as_of, time.time_ns() // 1000)
    late = (source.incremental.late or 0) + horizon
    watermarks = {} if told is None else dict(zip(days, told, strict=True))
    return Due(days, watermarks, late, seen, anew)


def _agree(held: dict[str, str], newest: dict[str, str]) -> bool:
    """Whether the columns go together: the same names, and kinds that can become one."""
    return held.keys() == newest.keys() and all(
        _together(kind, newest[column]) for column, kind in held.items()
    )


def _together(one: str, other: str) -> str | None:
    """The kind of values of two kinds; None if they are none."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    return "float" if {one, other} == _NUMBERS else None


def _settled(name: str, days: list[Day]) -> dict[str, str]:
    held = [day for day in days if day.rows]
    settled = dict(held[-1].columns) if held else {}
    for day in held:
        for column in settled.keys() | day.columns.keys():
            one, other = settled.get(column), day.columns.get(column)
            kind = _together(one, other) if one and other else None
            if kind is None:
                raise DataError(
                    name,
                    f"column {column!r}",
                    f"it is {other or 'not there'} on {write_day(day.day)} and {one or 'not there'}"
                    f" on later days up to {write_day(held[-1].day)}",
                    f"Settle it by types: {{{column}: …}} in the source, or in the query",
                )
            settled[column] = kind
    return settled
