"""The Beam stages of reading rows: read a part, write its shard, give the shards their names.

A bundle may run again after it failed, or twice at once. So each try writes files of its own, and
only those that a finished bundle tells of are given a shard's name, all at once in the end.

TFX is not imported here: a worker process starts in a fraction of the time without.
"""

import contextlib
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from components.ingest.errors import DataError
from components.ingest.examples import ShardWriter, shard_name
from components.ingest.paths import exists, open_file, rename
from components.ingest.patience import read_part
from components.ingest.plan import Column, Plan, Times
from components.ingest.source import RowSource
from components.ingest.whole_file import join, whole_file

_ERROR = "error.json"
_PIECES = "pieces.json"

Piece = tuple[int, int, int, float, pa.RecordBatch]
"""What ReadPartition gives."""


class ReadPartition(beam.DoFn):
    """Reads a part of a source.

    Takes a part's number and the part, see ``RowSource.plan``; gives tuples of the part's number,
    the number of the try (the last one counts), the first row's number, when the part was begun
    (seconds, ``time.monotonic()``) and a record batch. The first batch of a try is empty.
    """

    def __init__(
        self,
        name: str,
        source: RowSource,
        times: Times,
        columns: Sequence[Column],
        work: str,
    ) -> None:
        self._name = name
        self._source = source
        self._times = times
        self._columns = columns
        self._work = work

    def process(self, part: tuple[int, Any]) -> Iterator[Piece]:
        """Yields the part's batches."""
        index, partition = part
        schema = Plan(tuple(self._columns), ()).arrow_schema
        begun = time.monotonic()
        attempt, done = 1, 0
        batches = read_part(self._name, self._source, self._times, self._columns, partition)
        try:
            for number, batch in batches:
                if batch.schema != schema:
                    raise self._other_columns(batch.schema, schema)
                attempt, done = number, done if number == attempt else 0
                yield index, attempt, done, begun, batch
                done += batch.num_rows
        except DataError as error:
            _leave(self._work, error)
            raise

    def _other_columns(self, read: pa.Schema, planned: pa.Schema) -> DataError:
        shown = [", ".join(f"{field.name} {field.type}" for field in s) for s in (read, planned)]
        return DataError(
            self._name,
            "columns",
            f"a part's are {shown[0]}; the plan's are {shown[1]}",
            f"Mend read of {type(self._source).__name__}: each part has the plan's columns",
        )


class WriteShards(beam.DoFn):
    """Writes a part's batches to a file of this try's own.

    Takes what ReadPartition gives; gives, once a bundle is finished, ``(None, piece)`` for each
    part: a dictionary of the part's ``index``, ``attempt``, ``path``, ``start`` (the first row's
    number), ``rows``, ``batches``, ``seconds``, the ``first`` and ``last`` time (microseconds since
    the epoch, or None) and how many rows lie ``outside`` the stretch of time asked for.
    """

    def __init__(self, name: str, time_column: str, times: Times, work: str) -> None:
        self._name = name
        self._time = time_column
        self._times = times
        self._work = work

    def start_bundle(self) -> None:
        """Forgets what a bundle that failed had begun."""
        self._files = contextlib.ExitStack()
        self._writers: dict[int, ShardWriter] = {}
        self._pieces: dict[int, dict[str, Any]] = {}

    def process(self, element: Piece) -> None:
        """Writes a batch; what an earlier try of the part wrote is forgotten."""
        index, attempt, start, begun, batch = element
        self._write(index, attempt, start, batch)
        self._tell(self._pieces[index], batch)
        self._pieces[index]["seconds"] = time.monotonic() - begun

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Closes the files and tells of them."""
        self._files.close()
        window = GlobalWindow()
        for piece in self._pieces.values():
            yield WindowedValue((None, piece), window.max_timestamp(), (window,))

    def _write(self, index: int, attempt: int, start: int, batch: pa.RecordBatch) -> None:
        if index not in self._writers or self._pieces[index]["attempt"] != attempt:
            path = f"{self._work}/{index:05d}-{uuid.uuid4().hex}.gz"
            self._writers[index] = self._files.enter_context(ShardWriter(path))
            self._pieces[index] = {
                "index": index,
                "attempt": attempt,
                "path": path,
                "start": start,
                "rows": 0,
                "batches": 0,
                "seconds": 0.0,
                "first": None,
                "last": None,
                "outside": 0,
            }
        self._writers[index].write(batch)

    def _tell(self, piece: dict[str, Any], batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        times = batch.column(batch.schema.get_field_index(self._time))
        bounds = pc.min_max(times).as_py()
        if not piece["rows"]:
            piece["first"], piece["last"] = bounds["min"], bounds["max"]
        piece["first"] = min(bounds["min"], piece["first"])
        piece["last"] = max(bounds["max"], piece["last"])
        piece["rows"] += batch.num_rows
        piece["batches"] += 1
        outside = pc.or_(
            pc.less(times, self._times.begin), pc.greater_equal(times, self._times.end)
        )
        piece["outside"] += pc.sum(outside).as_py()


class CommitShards(beam.DoFn):
    """Gives the pieces their shards' names; may run again at any point."""

    def __init__(self, folder: str, work: str, count: int) -> None:
        self._folder = folder
        self._work = work
        self._count = count

    def process(self, element: tuple[None, Iterable[dict[str, Any]]]) -> None:
        """Moves each piece to its place, and leaves what all pieces tell for the report."""
        told = sorted(element[1], key=lambda piece: (piece["index"], piece["start"]))
        last: dict[int, int] = {}
        for piece in told:
            last[piece["index"]] = max(last.get(piece["index"], 1), piece["attempt"])
        pieces = [piece for piece in told if piece["attempt"] == last[piece["index"]]]
        for index in range(self._count):
            paths = [piece["path"] for piece in pieces if piece["index"] == index]
            _commit(paths, f"{self._folder}/{shard_name(index, self._count)}")
        with whole_file(f"{self._work}/{_PIECES}") as file:
            file.write(json.dumps(pieces).encode())


def read_pieces(work: str) -> list[dict[str, Any]]:
    """What CommitShards left: all pieces, in order."""
    with open_file(f"{work}/{_PIECES}", "rb") as file:
        return json.loads(file.read())


def read_error(work: str) -> DataError | None:
    """What went wrong in a worker, if it was the data's fault."""
    path = f"{work}/{_ERROR}"
    if not exists(path):
        return None
    with open_file(path, "rb") as file:
        return DataError(**json.loads(file.read()))


def _leave(work: str, error: DataError) -> None:
    told = {
        "source": error.source,
        "where": error.where,
        "value": error.value,
        "rule": error.rule,
        "mend": error.mend,
    }
    with whole_file(f"{work}/{_ERROR}") as file:
        file.write(json.dumps(told, default=str).encode())


def _commit(paths: list[str], target: str) -> None:
    if exists(target):
        return
    if len(paths) > 1:
        # A runner may spread a part over bundles: gzip members and TFRecords may follow each other.
        join(paths, target)
    else:
        rename(paths[0], target)
