"""Sensor windows for some entities and a stretch of time: the same rows that training makes.

Cleaning looks at each row alone, so entities and files may be left out. What looks further is the
grid of windows, which ends with an entity's last reading, and ``stuck``, which asks since when a
value has been the same: for these the nearest files beside the stretch are read too.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.sensor.features import SensorJob, bucket_windows, clean_parts, prepare
from components.ingest.sensor.files import watermark
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.tally import Tally
from serving.online.file_index import FileIndex, entity_texts

_FOREVER = 1 << 62


class SensorReader:
    """Reads one sensor source for prediction.

    Args:
      name: the source's name, for messages.
      source: its settings.
      index_folder: where to keep the index of its files; None keeps it in memory.
    """

    def __init__(self, name: str, source: SensorSource, index_folder: Path | None = None) -> None:
        self._name = name
        self._source = source
        self._index = FileIndex(index_folder)
        self._job: SensorJob | None = None
        self._watermark = ""

    def tables(
        self, entities: Sequence[int | str] | None, begin: int, end: int, until: int
    ) -> dict[str, pa.Table]:
        """The windows that observations may be joined with.

        Args:
          entities: whose windows; None: all entities'.
          begin: the earliest observation, microseconds.
          end: the latest observation, microseconds.
          until: where the data ends: nothing that happened or was received later is used.

        Returns:
          By split its rows, as ``sensor_windows`` gives them.

        Raises:
          DataError: if files can't be found or read, or lack a column.
        """
        job = self._prepared()
        source = self._source
        step = max(window.step for window in source.windows)
        first_window = begin - (source.tolerance or 2 * step)
        need = first_window - max(window.size for window in source.windows) - (source.fill or 0)
        plan = dataclasses.replace(job.plan, begin=-_FOREVER, end=until)
        reading = dataclasses.replace(job, plan=plan)
        names = None if entities is None else [str(entity) for entity in entities]
        wanted = None if names is None else pa.array(names, pa.string())
        read: dict[str, list[pa.RecordBatch]] = {}
        reach = need
        while True:
            fresh = self._index.choose(names, reach, end) - read.keys()
            if not fresh and -_FOREVER < reach < need:
                # What the nearest files hold was received too late to count: look at all of them.
                reach = -_FOREVER
                continue
            for path in fresh:
                read[path] = _readings(reading, path, wanted)
            batches = [batch for path in job.files for batch in read.get(path, ())]
            readings = pa.Table.from_batches(batches, schema=plan.schema)
            earlier = self._unsettled(readings, need, reach)
            if earlier is None or reach == -_FOREVER:
                break
            reach = earlier
        until_end = dataclasses.replace(plan, end=min(end, until))
        windowing = dataclasses.replace(job, plan=until_end, windows_begin=first_window)
        return dict(bucket_windows(windowing, readings, Tally(), lambda _: None))

    def _prepared(self) -> SensorJob:
        state = watermark(self._source, self._name)
        if self._job is None or state != self._watermark:
            self._job = prepare(self._name, self._source, 0, 0)
            self._watermark = state
            self._index.update(self._job)
        return self._job

    def _unsettled(self, readings: pa.Table, need: int, reach: int) -> int | None:
        """Where to read on from, if a value may have been stuck since before what was read."""
        limits = [channel.stuck for channel in self._source.channels.values()]
        if not any(limits):
            return None
        texts = entity_texts(_whole(readings["entity"]))
        present = set(pc.unique(texts).to_pylist())
        mask = pc.less(readings["time"], need)
        early, owner = readings.filter(mask), texts.filter(_whole(mask))
        times = _by_entity(owner, _whole(early["time"]), "min")
        doubtful: set[str] = set()
        for index, limit in enumerate(limits):
            if limit is None:
                continue
            # Two values before the stretch: what holds at its begin began after the first of them.
            distinct = _by_entity(owner, self._values(early, index), "count_distinct")
            doubtful |= {entity for entity in present if distinct.get(entity, 0) < 2}
        reached = {entity: min(times.get(entity, reach), reach) for entity in doubtful}
        earlier = [
            oldest
            for entity, oldest in reached.items()
            if (begins := self._index.earliest(entity)) is not None and begins < oldest
        ]
        return min(earlier) - 1 if earlier else None

    def _values(self, readings: pa.Table, channel: int) -> pa.Array:
        """A channel's values, null in rows without one."""
        if self._source.layout == "long":
            mine = _whole(pc.equal(readings["channel"], channel))
            return pc.if_else(mine, _whole(readings["value"]), pa.scalar(None, pa.float64()))
        values = _whole(readings[str(channel)])
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _by_entity(entities: pa.Array, values: pa.Array, aggregate: str) -> dict[str, int]:
    table = pa.table({"entity": entities, "value": values})
    grouped = table.group_by("entity").aggregate([("value", aggregate)])
    found = zip(
        grouped["entity"].to_pylist(), grouped[f"value_{aggregate}"].to_pylist(), strict=True
    )
    return dict(found)


def _readings(job: SensorJob, path: str, wanted: pa.Array | None) -> list[pa.RecordBatch]:
    parts = [part for part in job.parts if part.path == path]
    batches = clean_parts(job, parts, Tally(), lambda _: None)
    if wanted is None:
        return list(batches)
    return [
        batch.filter(pc.is_in(entity_texts(batch.column(0)), value_set=wanted)) for batch in batches
    ]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.nulls(0, column.type)
    return whole
