"""From a sensor source's files to its window features: the whole way, in plain functions.

Training runs the steps side by side under Beam (``components/sensor_example_gen``), prediction
calls ``sensor_windows``; both compute the same.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from components.ingest.paths import MOST_OPEN
from components.ingest.sensor import files as sensor_files
from components.ingest.sensor.buckets import BucketWriter, read_bucket
from components.ingest.sensor.cleaning import Cleaner
from components.ingest.sensor.clock import clock_offsets
from components.ingest.sensor.files import Part
from components.ingest.sensor.plan import Plan
from components.ingest.sensor.preview import Preview, check_channels, look
from components.ingest.sensor.quality import quality_report
from components.ingest.sensor.quarantine import QUARANTINE
from components.ingest.sensor.reading import Parse, part_blocks
from components.ingest.sensor.series_maker import SeriesMaker
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.tally import Tally
from components.ingest.sensor.windows import window_tables
from components.ingest.threads import map_ahead

BUCKET_BYTES = 8 << 20
"""About how much of the files a bucket of entities holds: its columns stay in a core's cache."""

Finished = TypeVar("Finished")

_UNPACKED = {"parquet": 4, "packed": 8}


@dataclasses.dataclass(frozen=True)
class SensorJob:
    """All that is settled before readings are read; the same for every worker.

    Attributes:
      plan: how to clean.
      windows_begin: the earliest end of a window, microseconds.
      parts: the files, cut.
      files: their paths, by index.
      buckets: into how many groups the entities are parted.
      clocks: by gateway, what the report says of its clock.
      seen: what the files' first rows show.
    """

    plan: Plan
    windows_begin: int
    parts: list[Part]
    files: list[str]
    buckets: int
    clocks: dict[str, dict[str, Any]]
    seen: Preview


@dataclasses.dataclass(frozen=True)
class SensorWindows:
    """What ``sensor_windows`` finds.

    Attributes:
      tables: by split (``every_1h``) its rows, sorted by entity and time; see sensor_windows.
      report: see ``quality_report``.
      quarantine: the rejected readings; see QUARANTINE.
      tally: what the report was made of.
    """

    tables: dict[str, pa.Table]
    report: dict[str, Any]
    quarantine: pa.Table
    tally: Tally


def sensor_windows(
    name: str, source: SensorSource, begin: int, end: int, bucket_bytes: int = BUCKET_BYTES
) -> SensorWindows:
    """Reads, cleans and windows a source.

    Readings up to ``source.lookback`` before ``begin`` are read, so that windows at ``begin`` are
    whole. Sources larger than ``bucket_bytes`` go through temporary files.

    Args:
      name: the source's name, for messages.
      source: its settings.
      begin: the earliest observation that features are for, microseconds.
      end: the latest; nothing that happened, or was received, later is used.
      bucket_bytes: how much to work on at a time.

    Raises:
      DataError: if the files can't be found or read, or lack a column. That many readings are
        rejected, or none is left, is told by ``quality.check_tally``.
    """
    job = prepare(name, source, begin, end, bucket_bytes)
    tally = Tally()
    rejected: list[pa.Table] = []
    tables: dict[str, list[pa.Table]] = {}
    for readings in _buckets(job, tally, rejected):
        for split, table in bucket_windows(job, readings, tally, rejected.extend):
            tables.setdefault(split, []).append(table)
    check_channels(name, source, job.seen, tally, job.files)
    order = [(source.entity, "ascending"), ("time", "ascending")]
    return SensorWindows(
        tables={
            split: pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces).sort_by(order)
            for split, pieces in tables.items()
        },
        report=quality_report(tally, job.files, job.clocks, job.seen.lacking),
        quarantine=pa.concat_tables([QUARANTINE.empty_table(), *rejected]),
        tally=tally,
    )


def prepare(
    name: str,
    source: SensorSource,
    begin: int,
    end: int,
    bucket_bytes: int = BUCKET_BYTES,
    part_bytes: int = sensor_files.PART_BYTES,
) -> SensorJob:
    """Finds the files, looks at their columns, sets clocks right and cuts the work.

    Args:
      name: the source's name, for messages.
      source: its settings.
      begin: the earliest observation, microseconds.
      end: the latest.
      bucket_bytes: about how much a bucket shall hold.
      part_bytes: about how much a part shall hold.

    Raises:
      DataError: if the files can't be found or read, or lack a column.
    """
    whole = sensor_files.whole_files(name, source)
    seen = look(name, source, whole, rows=0)
    parts = [part for file in whole for part in sensor_files.cut(name, file, part_bytes)]
    offsets, clocks = clock_offsets(name, source, parts)
    size = sum(
        part.bytes * (_UNPACKED["packed"] if part.compressed else _UNPACKED.get(part.format, 1))
        for part in parts
    )
    before = max(window.step for window in source.windows) + (source.tolerance or 0)
    return SensorJob(
        plan=Plan(name, source, seen.entity, begin - source.lookback, end, offsets),
        windows_begin=begin - before,
        parts=parts,
        files=[part.path for part in whole],
        buckets=min(max(1, -(-size // bucket_bytes)), MOST_OPEN),
        clocks=clocks,
        seen=seen,
    )


def portions(job: SensorJob, portion_bytes: int = sensor_files.PART_BYTES) -> list[list[Part]]:
    """Parts brought together to pieces of work of about the same size."""
    result: list[list[Part]] = []
    size = portion_bytes
    for part in job.parts:
        if size + part.bytes > portion_bytes:
            result.append([])
            size = 0
        result[-1].append(part)
        size += part.bytes
    return result


def clean_parts(
    job: SensorJob,
    parts: Sequence[Part],
    tally: Tally,
    reject: Callable[[list[pa.Table]], None],
) -> Iterator[pa.RecordBatch]:
    """Reads and cleans parts of files; see finish_parts, of which it yields the readings."""
    yield from finish_parts(job, parts, tally, reject, lambda readings: readings)


def finish_parts(
    job: SensorJob,
    parts: Sequence[Part],
    tally: Tally,
    reject: Callable[[list[pa.Table]], None],
    finish: Callable[[pa.RecordBatch], Finished],
) -> Iterator[Finished]:
    """Reads parts of files in blocks; parses, cleans and finishes these in threads.

    Args:
      job: see prepare.
      parts: which.
      tally: where everything is counted.
      reject: called with quarantine rows.
      finish: called, in any thread, with readings as ``Plan.schema`` says.

    Yields:
      What ``finish`` returned.
    """
    work = functools.partial(_clean, job, finish)
    for counted, left_out, finished in map_ahead(work, _blocks(job, parts)):
        tally.add(counted)
        reject(left_out)
        yield from finished


def bucket_windows(
    job: SensorJob, readings: pa.Table, tally: Tally, reject: Callable[[list[pa.Table]], None]
) -> Iterator[tuple[str, pa.Table]]:
    """Windows of some entities' readings.

    Args:
      job: see prepare.
      readings: all readings of these entities, as ``Plan.schema`` says.
      tally: where everything is counted.
      reject: called with quarantine rows.

    Yields:
      By split its name and rows; see sensor_windows.
    """
    maker = SeriesMaker(job.plan, job.files, tally)
    entities, series = maker.make(readings)
    reject(maker.rejected)
    for split, table in window_tables(job.plan, job.windows_begin, entities, series):
        tally.windows[split] += table.num_rows
        yield split, table


def _blocks(job: SensorJob, parts: Sequence[Part]) -> Iterator[tuple[Part, Parse]]:
    for part in parts:
        for parse in part_blocks(job.plan.name, job.plan.source, part):
            yield part, parse


def _clean(
    job: SensorJob, finish: Callable[[pa.RecordBatch], Finished], block: tuple[Part, Parse]
) -> tuple[Tally, list[pa.Table], list[Finished]]:
    """A block's own tally, quarantine rows, and finished readings."""
    part, parse = block
    tally = Tally()
    cleaner = Cleaner(job.plan, part.path, part.index, tally)
    cleaned = [readings for rows in parse() if (readings := cleaner.clean(rows)).num_rows]
    return tally, cleaner.take_rejected(), [finish(readings) for readings in cleaned]


def _buckets(job: SensorJob, tally: Tally, rejected: list[pa.Table]) -> Iterator[pa.Table]:
    if job.buckets == 1:
        readings = clean_parts(job, job.parts, tally, rejected.extend)
        yield pa.Table.from_batches(list(readings), schema=job.plan.schema)
        return
    with tempfile.TemporaryDirectory() as folder:
        with BucketWriter(job.plan, folder, "readings", job.buckets) as writer:
            for parts in finish_parts(job, job.parts, tally, rejected.extend, writer.part):
                writer.append(parts)
        if not writer.files:
            yield job.plan.schema.empty_table()
        for bucket in sorted(writer.files):
            yield read_bucket(job.plan, [writer.files[bucket]])
