"""The two stages on Beam. Readings go from one to the other in files, named by portion and bucket.

Beam's own shuffle would hold all readings in memory where the runner is local. A stage that is run
again writes the same files again, whole, so that retries double nothing.
"""

import pickle
from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
import pyarrow as pa

from components.ingest.errors import DataError
from components.ingest.examples import ShardWriter, shard_name, split_folder
from components.ingest.paths import open_file
from components.ingest.sensor.buckets import BucketWriter, QuarantineWriter, read_bucket
from components.ingest.sensor.features import SensorJob, bucket_windows, finish_parts
from components.ingest.sensor.files import Part
from components.ingest.sensor.kept import KeptPart, KeptReadings, Reject, name_of
from components.ingest.sensor.tally import Tally
from components.ingest.whole_file import whole_file

_ROWS = 16_384


class CleanPortion(beam.DoFn):
    """Cleans some parts of files; yields bucket and path of each file of readings.

    Args:
      job: see ``features.prepare``.
      work: the folder for readings and outcomes.
      quarantine: the folder for rejected readings.
      store: where clean readings are kept; None where they are not.
      kept: by part those that need not be read, see ``KeptReadings.load``.
    """

    def __init__(
        self,
        job: SensorJob,
        work: str,
        quarantine: str,
        store: KeptReadings | None = None,
        kept: Mapping[str, KeptPart] | None = None,
    ) -> None:
        self._job = job
        self._work = work
        self._quarantine = quarantine
        self._store = store
        self._kept = kept or {}

    def process(self, element: tuple[int, list[Part]]) -> Iterator[tuple[int, str]]:
        """Cleans portion ``element[0]``, which holds the parts ``element[1]``."""
        index, parts = element
        name = f"cleaning-{index:05d}"
        with (
            _Outcome(f"{self._work}/{name}.outcome") as tally,
            QuarantineWriter(f"{self._quarantine}/{name}.parquet") as rejected,
            BucketWriter(self._job.plan, self._work, name, self._job.buckets) as writer,
        ):
            if self._store is None:
                for given in finish_parts(self._job, parts, tally, rejected.write, writer.part):
                    writer.append(given)
            else:
                for readings in self._kept_or_clean(self._store, parts, tally, rejected.write):
                    writer.write(readings)
        yield from writer.files.items()

    def _kept_or_clean(
        self, store: KeptReadings, parts: list[Part], tally: Tally, reject: Reject
    ) -> Iterator[pa.RecordBatch]:
        for part in parts:
            kept = self._kept.get(name_of(part))
            if kept is not None:
                yield from store.take(part, kept, tally, reject)
            else:
                yield from store.clean(self._job, part, tally, reject)


class WindowBucket(beam.DoFn):
    """Computes the windows of a bucket of entities and writes its shard of each split.

    Args:
      job: see ``features.prepare``.
      work: the folder for outcomes.
      quarantine: the folder for rejected readings.
      examples: the Examples artifact's folder.
    """

    def __init__(self, job: SensorJob, work: str, quarantine: str, examples: str) -> None:
        self._job = job
        self._work = work
        self._quarantine = quarantine
        self._examples = examples

    def process(self, element: tuple[int, Iterable[str]]) -> None:
        """Works on bucket ``element[0]``, whose readings lie in the files ``element[1]``."""
        bucket, paths = element
        name = f"series-{bucket:05d}"
        with (
            _Outcome(f"{self._work}/{name}.outcome") as tally,
            QuarantineWriter(f"{self._quarantine}/{name}.parquet") as rejected,
        ):
            readings = read_bucket(self._job.plan, [path for path in paths if path])
            for split, table in bucket_windows(self._job, readings, tally, rejected.write):
                folder = split_folder(self._examples, split)
                with ShardWriter(f"{folder}/{shard_name(bucket, self._job.buckets)}") as shard:
                    for batch in table.to_batches(max_chunksize=_ROWS):
                        shard.write(batch)


def read_outcome(path: str) -> Tally:
    """What a stage counted.

    Raises:
      DataError: if the stage met with one.
    """
    with open_file(path, "rb") as file:
        outcome = pickle.loads(file.read())
    if isinstance(outcome, DataError):
        raise outcome
    return outcome


class _Outcome:
    """Keeps a stage's tally, or the DataError that ended it, for the process that runs all.

    Beam wraps errors of its workers in a trace that hides what a person should read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._tally = Tally()

    def __enter__(self) -> Tally:
        return self._tally

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if error is not None and not isinstance(error, DataError):
            return False
        with whole_file(self._path) as file:
            file.write(pickle.dumps(self._tally if error is None else error))
        return True
