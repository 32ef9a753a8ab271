"""What the command line tells, and what is said of a name that there is not."""

import dataclasses
from collections.abc import Sequence
from typing import NoReturn

from components.ingest.errors import DataError
from pipeline.settings.blocks import Task
from pipeline.settings.features import near


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line tells; None where it is asked or proposed."""

    table: str | None = None
    query: str | None = None
    entity: str | None = None
    time: str | None = None
    label: str | None = None
    label_events: str | None = None
    task: Task | None = None
    horizon: int | None = None
    every: int | None = None


def no_such(option: str, value: str, names: Sequence[str]) -> NoReturn:
    """Refuses a name that there is not, with those that there are.

    Raises:
      DataError: always.
    """
    there = list(dict.fromkeys(names))
    shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
    raise DataError(
        "init",
        option,
        f"there is none of this name{near(value, there)}",
        f"There are {shown}",
        value,
    )
