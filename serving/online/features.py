"""Features of entities at times: what training's join would make of an observation there and then.

Everything that decides a value is training's own code: sources are read by ``components.ingest``,
joined by ``point_in_time_join.join``, and pass through Examples wherever training writes them.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from components.curated_schema.schema_file import columns, read_schema
from components.ingest.durations import MICROSECONDS
from components.ingest.kinds import AnySource
from components.ingest.plan import FAR_FUTURE, Times
from components.ingest.sensor.source import SensorSource
from components.ingest.source import RowSource
from components.ingest.sql.entities import Entity, entity_kind
from components.point_in_time_join.feeds import ALL
from components.point_in_time_join.join import Match, join_matched
from components.point_in_time_join.settings import JoinSettings
from serving.online.sensor_rows import SensorReader
from serving.online.spine import read_entity, spine_at, spine_between
from serving.online.stored import as_schema, as_stored

MAX_AGE = 30 * MICROSECONDS["d"]
"""How old the spine's row may be that gives an entity's columns."""


class ProjectSettings(Protocol):
    """What of the project's settings is read here; ``pipeline.settings.Settings`` is one."""

    schema_file: str

    def join_settings(self) -> str:
        """PointInTimeJoin's settings as JSON."""
        ...


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of m observations.

    Attributes:
      table: m rows: the spine's columns without the label, then the features, named and typed as
        in the joined examples.
      spine_times: int64[m], the times of the spine's rows that gave its columns, microseconds.
      newest: by feed (``errors``, ``telemetry/every_1h``) int64[m], the event time of the newest
        row used, for windows on a grid their end; -1 where there is none.
      seconds: by source how long it took to read, and under ``join`` to join.
    """

    table: pa.Table
    spine_times: np.ndarray
    newest: dict[str, np.ndarray]
    seconds: dict[str, float]


class FeatureReader:
    """Reads features of one project; keep one, as it remembers what the sources' files hold.

    Args:
      settings: the project's settings.
      index_folder: where to keep the sensor files' index; None keeps it in memory.
      max_age: how old the spine's row may be that gives an entity's columns, microseconds.

    Raises:
      SchemaError: if the schema's file is there and is none.
    """

    def __init__(
        self,
        settings: ProjectSettings,
        index_folder: str | Path | None = None,
        max_age: int = MAX_AGE,
    ) -> None:
        self.settings = JoinSettings.model_validate_json(settings.join_settings())
        self._max_age = max_age
        self._types: dict[str, str] = {}
        if Path(settings.schema_file).is_file():
            schema = columns(read_schema(settings.schema_file))
            self._types = {name: column.type for name, column in schema.items()}
        folder = None if index_folder is None else Path(index_folder)
        self._sensors = {
            name: SensorReader(name, source, folder)
            for name, source in self.settings.sources.items()
            if isinstance(source, SensorSource)
        }
        self._kind: str | None = None

    def entity(self, entity: object) -> Entity:
        """An entity in the spine's type.

        Raises:
          DataError: if it cannot be one, or the spine has no rows.
        """
        if self._kind is None:
            self._kind = entity_kind(self.settings.name, self.settings.spine)
        return read_entity(self.settings.name, self._kind, entity)

    def at(self, entity: object, instant: int, until: int | None = None) -> Features:
        """Features of one entity at one time; see ``at_many``."""
        return self.at_many([(entity, instant)], until)

    def at_many(
        self, observations: Sequence[tuple[object, int]], until: int | None = None
    ) -> Features:
        """Features of entities at times.

        Args:
          observations: m entities and times, microseconds since the epoch.
          until: where the data ends, as a run's window ends it: readings after it are not looked
            at. None: all that is there. What became known after an observation is never used for
            it.

        Returns:
          m rows, in the order of the observations.

        Raises:
          DataError: if an entity is unknown, a time lies outside the data, or a source can't be
            read.
        """
        begun = time.perf_counter()
        asked = [(self.entity(entity), instant) for entity, instant in observations]
        spine, used = spine_at(
            self.settings.name,
            self.settings.spine,
            self.settings.label.name,
            asked,
            FAR_FUTURE if until is None else until,
            self._max_age,
        )
        entities = list(dict.fromkeys(entity for entity, _ in asked))
        seconds = {self.settings.name: time.perf_counter() - begun}
        return self._joined(spine, used, entities, until, seconds)

    def between(self, begin: int, end: int, until: int | None = None) -> Features:
        """Features of all of the spine's rows with ``begin <= time < end``, in memory at once.

        Args:
          begin: microseconds since the epoch.
          end: excluded.
          until: as in ``at_many``.
        """
        started = time.perf_counter()
        name, source = self.settings.name, self.settings.spine
        known = FAR_FUTURE if until is None else until
        spine = spine_between(name, source, self.settings.label.name, begin, end, known)
        seconds = {name: time.perf_counter() - started}
        if not len(spine):
            return Features(spine, np.zeros(0, np.int64), {}, seconds)
        used = np.asarray(spine[source.time], np.int64)
        return self._joined(spine, used, None, until, seconds)

    def slices(self, begin: int, end: int, size: int) -> Iterator[tuple[int, int, Features]]:
        """As ``between``, one stretch of ``size`` microseconds after the other.

        Yields:
          Begin and end of the stretch, and its features.
        """
        for first in range(begin, end, size):
            last = min(first + size, end)
            yield first, last, self.between(first, last)

    def _joined(
        self,
        spine: pa.Table,
        used: np.ndarray,
        entities: Sequence[Entity] | None,
        until: int | None,
        seconds: dict[str, float],
    ) -> Features:
        times = np.asarray(spine[self.settings.spine.time], np.int64)
        first, last = int(times.min()), int(times.max())
        tables = {}
        for name, source in self.settings.sources.items():
            begun = time.perf_counter()
            tables[name] = self._rows(name, source, entities, first, last, until)
            seconds[name] = time.perf_counter() - begun
        begun = time.perf_counter()
        joined, matches = join_matched(spine, tables, self.settings)
        table = as_schema(as_stored(joined), self._types)
        seconds["join"] = time.perf_counter() - begun
        return Features(table, used, _newest(matches, times), seconds)

    def _rows(
        self,
        name: str,
        source: AnySource,
        entities: Sequence[Any] | None,
        first: int,
        last: int,
        until: int | None,
    ) -> Mapping[str, pa.Table]:
        known = FAR_FUTURE if until is None else until
        if isinstance(source, RowSource):
            # A latest row of any age may be the first one that there is.
            unbounded = not source.windows and source.tolerance is None
            begin = 0 if unbounded else max(first - source.lookback, 0)
            times = Times(begin, last + 1, known)
            return {ALL: as_stored(source.entity_rows(name, times, entities))}
        found = self._sensors[name].tables(entities, first, last, known)
        return {split: as_stored(table) for split, table in found.items()}


def _newest(matches: Mapping[str, Match], times: np.ndarray) -> dict[str, np.ndarray]:
    """By feed the event time of the newest row that each observation used, -1 without one."""
    newest = {}
    for name, match in matches.items():
        some = ~np.isnan(match.age)
        found = np.full(len(times), -1, np.int64)
        found[some] = times[some] - np.rint(match.age[some]).astype(np.int64)
        newest[name] = found
    return newest
