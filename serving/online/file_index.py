"""Which entities' readings lie in which sensor file, and from when to when.

A file is read once to be indexed, and again when its size or time of change is another. The index
is kept beside the runs, so that the next process finds it.
"""

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.sensor import stores
from components.ingest.sensor.features import SensorJob, clean_parts
from components.ingest.sensor.tally import Tally
from components.ingest.whole_file import whole_file

_FOREVER = 1 << 62
Span = tuple[int, int]


class FileIndex:
    """The spans of time of each entity in each of a source's files.

    Args:
      folder: where to keep it; None keeps it in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._key = ""
        self._files: dict[str, tuple[list[int], dict[str, Span]]] = {}

    def update(self, job: SensorJob) -> None:
        """Reads the files that are new or changed.

        Args:
          job: what ``prepare`` made of the source.

        Raises:
          DataError: if a file can't be read.
        """
        key = _settings_key(job)
        if key != self._key:
            self._key = key
            self._files = self._load(job.plan.name)
        known = {
            path: entry
            for path, entry in self._files.items()
            if path in job.files and entry[0] == _state(path)
        }
        fresh = [path for path in job.files if path not in known]
        for path in fresh:
            state = _state(path)
            known[path] = (state, _spans(job, path))
        changed = bool(fresh) or len(known) != len(self._files)
        self._files = known
        if changed:
            self._store(job.plan.name)

    def choose(self, entities: Iterable[str] | None, begin: int, end: int) -> set[str]:
        """The files that hold all readings in a stretch of time and the nearest ones beside it.

        Args:
          entities: whose readings, as text; None: all entities'.
          begin: the first instant, microseconds.
          end: the last instant, microseconds.

        Returns:
          Paths. Of each entity also the file with its newest reading before ``begin`` and the one
          with its earliest after ``end``: windows exist from an entity's first reading to its last.
        """
        wanted = None if entities is None else set(entities)
        chosen: set[str] = set()
        before: dict[str, tuple[int, str]] = {}
        after: dict[str, tuple[int, str]] = {}
        for path, (_, spans) in self._files.items():
            for entity in spans if wanted is None else wanted & spans.keys():
                first, last = spans[entity]
                if first <= end and last >= begin:
                    chosen.add(path)
                if last < begin:
                    before[entity] = max(before.get(entity, (last, path)), (last, path))
                if first > end:
                    after[entity] = min(after.get(entity, (first, path)), (first, path))
        return chosen | {path for _, path in [*before.values(), *after.values()]}

    def earliest(self, entity: str) -> int | None:
        """The time of an entity's first reading, microseconds; None if it has none."""
        firsts = [spans[entity][0] for _, spans in self._files.values() if entity in spans]
        return min(firsts, default=None)

    def _path(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{name}-{self._key}.json"

    def _load(self, name: str) -> dict[str, tuple[list[int], dict[str, Span]]]:
        path = self._path(name)
        if path is None or not path.is_file():
            return {}
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            return {
                file: (state, {entity: (first, last) for entity, (first, last) in spans.items()})
                for file, (state, spans) in read.items()
            }
        except (ValueError, TypeError, AttributeError, OSError):
            return {}

    def _store(self, name: str) -> None:
        path = self._path(name)
        if path is None:
            return
        with whole_file(str(path)) as file:
            file.write(json.dumps(self._files).encode())


def _spans(job: SensorJob, path: str) -> dict[str, Span]:
    plan = dataclasses.replace(job.plan, begin=-_FOREVER, end=_FOREVER)
    parts = [part for part in job.parts if part.path == path]
    found: dict[str, list[int]] = defaultdict(list)
    for batch in clean_parts(dataclasses.replace(job, plan=plan), parts, Tally(), lambda _: None):
        entity = entity_texts(batch.column(0))
        table = pa.table({"entity": entity, "time": batch.column(1)})
        grouped = table.group_by("entity").aggregate([("time", "min"), ("time", "max")])
        for row in grouped.to_pylist():
            found[row["entity"]] += [row["time_min"], row["time_max"]]
    return {entity: (min(times), max(times)) for entity, times in found.items()}


def entity_texts(column: pa.Array) -> pa.Array:
    """A batch's entities as text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pc.cast(column, pa.string())


def _state(path: str) -> list[int]:
    file = stores.stat(path)
    return [file.size, file.changed]


def _settings_key(job: SensorJob) -> str:
    text = json.dumps(
        [job.plan.source.model_dump_json(), job.plan.entity, sorted(job.plan.offsets.items())]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
