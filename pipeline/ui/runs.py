"""The runs on this machine as their records, ``run.json``, tell: the newest first."""

import dataclasses
import datetime
import fcntl
import json
import pathlib
from collections.abc import Mapping

import pydantic

from components.ingest.durations import MICROSECONDS, parse_instant

LOST = "lost"
"""The state of a run that was ended from outside, and could not say so."""
UNREADABLE = "unreadable"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's record; see ``pipeline.local.command.RunRecord``.

    Attributes:
      run_id: the name of the run's folder.
      state: running, done, failed or stopped; LOST or UNREADABLE.
      nodes: by stage its state, in the order in which they run.
      seconds: by stage that began, how long it took.
    """

    run_id: str
    state: str
    as_of: str = ""
    began: str = ""
    ended: str | None = None
    nodes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    decision: str = ""
    error: str = ""

    @property
    def cached(self) -> int:
        """How many stages were taken from an earlier run."""
        return sum(state == "cached" for state in self.nodes.values())

    @property
    def finished(self) -> int:
        """How many stages need no more work."""
        return sum(state in ("done", "cached", "skipped") for state in self.nodes.values())

    @property
    def refused(self) -> bool:
        """Whether the run came to its end and its model was not pushed."""
        return self.decision.startswith("not pushed")

    @property
    def verdict(self) -> tuple[str, str]:
        """The decision in a word or two, and the rest of it; empty where there was none."""
        word, _, rest = self.decision.partition(", because " if self.refused else ": ")
        return word, rest

    @property
    def took(self) -> float | None:
        """Seconds from its beginning to its end, or until now; None if nobody can tell."""
        end = _now() if self.state == "running" else self.ended or ""
        try:
            return (parse_instant(end) - parse_instant(self.began)) / MICROSECONDS["s"]
        except ValueError:
            return None


_RUN = pydantic.TypeAdapter(Run)


@dataclasses.dataclass(frozen=True)
class Page:
    """Some of the runs; pages count from 1."""

    runs: tuple[Run, ...]
    number: int
    last: int
    total: int


def page(directory: pathlib.Path, number: int, size: int) -> Page:
    """A page of the runs in ``directory/runs``; the nearest there is."""
    names = _names(directory)
    last = max(1, -(-len(names) // size))
    number = min(max(number, 1), last)
    shown = names[(number - 1) * size : number * size]
    found = tuple(_read(directory, name, name == names[0]) for name in shown)
    return Page(found, number, last, len(names))


def find(directory: pathlib.Path, run_id: str) -> Run | None:
    """The run of that name; None if there is none."""
    names = _names(directory)
    return _read(directory, run_id, run_id == names[0]) if run_id in names else None


def _names(directory: pathlib.Path) -> list[str]:
    found = (path.parent.name for path in (directory / "runs").glob("*/run.json"))
    return sorted(found, reverse=True)


def _read(directory: pathlib.Path, run_id: str, newest: bool) -> Run:
    path = directory / "runs" / run_id / "run.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        run = _RUN.validate_python({**told, "run_id": run_id})
    except (OSError, ValueError, TypeError) as error:
        return Run(run_id, UNREADABLE, error=f"{path} cannot be read: {error}")
    if run.state == "running" and not (newest and _one_is_under_way(directory)):
        return dataclasses.replace(run, state=LOST, error="It was ended without a word.")
    return run


def _one_is_under_way(directory: pathlib.Path) -> bool:
    """Whether a run holds the folder's lock, which one at a time does."""
    try:
        with (directory / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat()
