"""A source's window from its kept days; on Beam those are read that are new or may have changed.

TFX is not imported here: a worker process starts in a fraction of the time without.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from components.ingest import paths
from components.ingest.errors import DataError
from components.ingest.plan import Times
from components.ingest.source import RowSource
from components.ingest.spans.days import days_of
from components.ingest.spans.reading import Piece, Stretch, keep, plan_stretch, read_part
from components.ingest.spans.refresh import Refreshed, look, refresh
from components.ingest.spans.store import Day, DayStore
from components.ingest.whole_file import whole_file


def refresh_by_beam(
    make_pipeline: Callable[[], beam.Pipeline],
    name: str,
    source: RowSource,
    store: DayStore,
    times: Times,
    horizon: int,
) -> Refreshed:
    """Brings the days of a window up to date.

    Args:
      make_pipeline: makes the Beam pipeline in which parts are read side by side.
      name: the source's name.
      source: its settings.
      store: its days.
      times: the window.
      horizon: the label's, for the observations; 0 for what is joined to them.

    Raises:
      DataError: as ``spans.refresh``. Stretches that were read whole are kept.
    """

    def read(stretches: Sequence[range], watermarks: dict[int, str], seen: int) -> list[Day]:
        if not stretches:
            return []
        planned = [plan_stretch(name, source, days) for days in stretches]
        parts = [
            (index, number, part)
            for index, stretch in enumerate(planned)
            for number, part in enumerate(stretch.plan.partitions)
        ]
        kept, problem = [], None
        with store.shelf.workspace() as work:
            try:
                with make_pipeline() as pipeline:
                    _ = (
                        pipeline
                        | "Parts" >> beam.Create(parts, reshuffle=False)
                        | "SideBySide" >> beam.Reshuffle()
                        | "ReadDays" >> beam.ParDo(ReadDays(name, source, planned, work))
                    )
            except Exception as error:
                problem = error
            for index, stretch in enumerate(planned):
                source.check_identity(name, stretch.identity)
                found = [_outcome(work, index, i) for i in range(len(stretch.plan.partitions))]
                # Beam hands on a worker's error as text; the worker has left it as it was.
                problem = next((one for one in found if isinstance(one, DataError)), problem)
                whole = [pieces for pieces in found if isinstance(pieces, list)]
                if len(whole) == len(found):
                    kept += keep(store, stretch, whole, watermarks, seen, work)
        if problem is not None:
            raise problem
        return kept

    days = days_of(times.begin, times.end)
    return refresh(name, source, store, days, look(name, source, days, times.as_of, horizon), read)


class ReadDays(beam.DoFn):
    """Reads a part of a stretch of days, and leaves what it found as a file in ``work``.

    Takes the stretch's number, the part's and the part. A part that is read again leaves the same.
    """

    def __init__(
        self, name: str, source: RowSource, stretches: Sequence[Stretch], work: str
    ) -> None:
        self._name = name
        self._source = source
        self._stretches = stretches
        self._work = work

    def process(self, element: tuple[int, int, Any]) -> Iterator[None]:
        """Reads one part."""
        index, number, partition = element
        stretch = self._stretches[index]
        outcome: list[Piece] | DataError
        try:
            outcome = read_part(
                self._name, self._source, stretch.days, stretch.plan.columns, partition, self._work
            )
        except DataError as error:
            outcome = error
        with whole_file(_outcome_path(self._work, index, number)) as file:
            file.write(pickle.dumps(outcome))
        yield from ()


def _outcome_path(work: str, stretch: int, part: int) -> str:
    return f"{work}/{stretch}-{part}.outcome"


def _outcome(work: str, stretch: int, part: int) -> list[Piece] | DataError | None:
    """What a part found, or the error that ended it; None for one that did not end."""
    path = _outcome_path(work, stretch, part)
    if not paths.exists(path):
        return None
    with paths.open_file(path, "rb") as file:
        outcome: list[Piece] | DataError = pickle.loads(file.read())
    return outcome
