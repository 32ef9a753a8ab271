"""What the server kept of requests, as tables: features, answers, entities and times."""

import dataclasses
import datetime
import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from components.ingest.durations import MICROSECONDS
from components.ingest.tfrecord import read_records
from pipeline.monitor.records import Columns, Kept, read_log, stacked
from serving.online.stored import ARROW
from serving.server.sampling import FILE_TIME, SUFFIX

_SECOND = MICROSECONDS["s"]


@dataclasses.dataclass(frozen=True)
class Served:
    """n examples that were asked about.

    Attributes:
      features: n rows: a column for each feature, null where it was missing.
      answers: n rows: a column for each output, see ``answer_table``.
      versions: int64[n], which version answered.
      about: [n] the entity as text, or None where nothing told it.
      observed: int64[n], the time that the example is about, microseconds; -1 where nothing told.
      request: int64[n], which request the example came with.
      requests: how many requests these were.
      drawn_of: how many there were to draw them from.
      damaged: files that could not be read, in words.
    """

    features: pa.Table
    answers: pa.Table
    versions: npt.NDArray[np.int64]
    about: Sequence[str | None]
    observed: npt.NDArray[np.int64]
    request: npt.NDArray[np.int64]
    requests: int
    drawn_of: int
    damaged: Sequence[str]

    @property
    def entities(self) -> npt.NDArray[np.int64]:
        """int64[n], codes of the entities from 0; where none is told each request is one."""
        names = [
            f"r{request}" if name is None else f"e{name}"
            for name, request in zip(self.about, self.request.tolist(), strict=True)
        ]
        return np.unique(np.array(names, object).astype(str), return_inverse=True)[1].astype(
            np.int64
        )


def read_served(folder: Path, begin: int, end: int, columns: Columns, most: int) -> Served:
    """Reads what was kept of a stretch of time.

    Args:
      folder: of one model's files: ``<directory>/<model>``.
      begin: the first instant, microseconds.
      end: the first instant not wanted any more.
      columns: what of the columns is read.
      most: of more requests, so many are drawn at random; the same ones each time.
    """
    damaged: list[str] = []
    chosen, count = _drawn(_logs(folder, begin, end, damaged), most)
    forms: dict[Hashable, list[Kept]] = {}
    for number, log in enumerate(chosen):
        kept = read_log(number, log, columns)
        if kept is not None:
            forms.setdefault(kept.form, []).append(kept)
    parts = [stacked(group, columns) for group in forms.values()]
    types = {name: ARROW[kind] for name, kind in columns.types.items()}
    request = [number for part in parts for number in part.request]
    return Served(
        features=_below_each_other([part.features for part in parts], types),
        answers=_below_each_other([part.answers for part in parts], {}),
        versions=np.array([v for part in parts for v in part.versions], np.int64),
        about=[name for part in parts for name in part.about],
        observed=np.array([time for part in parts for time in part.observed], np.int64),
        request=np.array(request, np.int64),
        requests=len(set(request)),
        drawn_of=count,
        damaged=damaged,
    )


def _logs(
    folder: Path, begin: int, end: int, damaged: list[str]
) -> Iterator[prediction_log_pb2.PredictionLog]:
    for path in sorted(folder.glob(f"*/*{SUFFIX}"), key=lambda path: path.name):
        first, last = _times(path)
        if not (first < end and begin < last + _SECOND):
            continue
        try:
            for text in read_records([str(path)]):
                log = prediction_log_pb2.PredictionLog.FromString(text)
                if begin <= log.log_metadata.timestamp_secs * _SECOND < end:
                    yield log
        except (OSError, ValueError, DecodeError) as error:
            damaged.append(str(error))


def _times(path: Path) -> tuple[int, int]:
    """When a file's first and last request came, to the second, as its name says."""

    def instant(text: str) -> int:
        moment = datetime.datetime.strptime(text, FILE_TIME)
        return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp()) * _SECOND

    try:
        first, last, _ = path.name.split("-")
        return instant(first), instant(last)
    except ValueError:
        # Somebody else's file: nothing in it is ours.
        return 0, -_SECOND


def _drawn(
    logs: Iterator[prediction_log_pb2.PredictionLog], most: int
) -> tuple[list[prediction_log_pb2.PredictionLog], int]:
    """A uniform draw from a stream (J. Vitter, Random Sampling with a Reservoir, 1985)."""
    rng, count = random.Random(0), 0
    drawn: list[prediction_log_pb2.PredictionLog] = []
    for log in logs:
        count += 1
        if len(drawn) < most:
            drawn.append(log)
        elif (place := rng.randrange(count)) < most:
            drawn[place] = log
    return drawn, count


def _below_each_other(tables: Sequence[pa.Table], types: Mapping[str, pa.DataType]) -> pa.Table:
    """Tables below each other, with null where one lacks a column; ``types`` are always there."""
    wanted = dict(types)
    for table in tables:
        for field in table.schema:
            wanted.setdefault(field.name, field.type)
    return pa.table(
        {
            name: pa.chunked_array(
                [
                    chunk.cast(kind)
                    for table in tables
                    for chunk in (
                        table[name].chunks
                        if name in table.column_names
                        else [pa.nulls(len(table), kind)]
                    )
                ],
                kind,
            ).combine_chunks()
            for name, kind in wanted.items()
        }
    )
