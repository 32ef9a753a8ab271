"""Where days are kept: by day an entry and a file of tf.Examples.

Which of two runs at the same time is the last to keep a day makes no difference: both had read it.
"""

import dataclasses
from typing import TYPE_CHECKING

from components.ingest.spans.days import read_day, write_day
from components.ingest.spans.shelf import Shelf
from components.ingest.whole_file import join

if TYPE_CHECKING:
    # Sources name their settings of reading by day.
    from components.ingest.source import RowSource

FORMAT = 1
"""Raised when the same rows become other Examples than before."""

_NOT_CONTENT = {
    "batch_rows",
    "connect_attempts",
    "incremental",
    "partitions",
    "read_attempts",
    "read_timeout",
    "tolerance",
    "url",
    "url_env",
    "watermark",
    "windows",
}


@dataclasses.dataclass(frozen=True)
class Day:
    """What was read of a day.

    Attributes:
      day: its number, see ``spans.days``.
      file: the name of its file of tf.Examples; None where it has no rows.
      rows: how many it has.
      first: the earliest of their times, microseconds since the epoch; None without rows.
      last: the latest.
      columns: by column its kind; empty without rows.
      watermark: what told the day's state just before it was read; empty where nothing does.
      seen: the instant at which it was read, microseconds since the epoch.
    """

    day: int
    file: str | None
    rows: int
    first: int | None
    last: int | None
    columns: dict[str, str]
    watermark: str
    seen: int


class DayStore:
    """A source's days.

    Attributes:
      shelf: where they lie.
    """

    def __init__(self, name: str, source: "RowSource") -> None:
        """Finds them.

        Args:
          name: the source's name.
          source: its settings; those that decide what a day holds decide the folder.

        Raises:
          DataError: if the settings or the environment don't tell the source's place.
        """
        told = source.model_dump_json(exclude=_NOT_CONTENT)
        content = (str(FORMAT), str(source.content_version), source.place(name), told)
        directory = source.incremental.directory if source.incremental else None
        self.shelf = Shelf(name, directory, content)

    def load(self, days: range) -> dict[int, Day]:
        """Those of some days that are kept, by day."""
        found = self.shelf.load(write_day(day) for day in days)
        return {read_day(name): Day(**entry) for name, entry in found.items()}

    def path(self, day: Day) -> str:
        """Where the file of a day with rows lies."""
        return f"{self.shelf.folder}/{day.file}"

    def put(self, day: Day, pieces: list[str], work: str) -> Day:
        """Keeps a day, in place of what was kept of it.

        Args:
          day: what was read; its file is given a name here.
          pieces: files of its tf.Examples, in order, in ``work``; none for a day without rows.
          work: a workspace of the shelf.
        """
        data = pieces[0] if pieces else None
        if len(pieces) > 1:
            data = f"{work}/{write_day(day.day)}.gz"
            join(pieces, data)
        file = self.shelf.put(write_day(day.day), dataclasses.asdict(day), data, work)
        return dataclasses.replace(day, file=file)

    def prune(self, first: int) -> list[str]:
        """Removes the days before one, and what else is not needed; see ``Shelf.prune``."""
        return self.shelf.prune(lambda name: read_day(name) >= first)
