"""The join on Beam: rows go to the bucket of their entity, and each bucket is joined on its own."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from components.ingest.entities import entity_values, stable_hash
from components.ingest.errors import DataError
from components.ingest.examples import (
    ShardWriter,
    flatten,
    read_batches,
    shard_name,
    split_folder,
)
from components.ingest.paths import MOST_OPEN
from components.ingest.split import data_window
from components.point_in_time_join.bucket import make_examples
from components.point_in_time_join.bucket_files import BucketFiles, Sent, read_sent
from components.point_in_time_join.feeds import ALL, feeds_of
from components.point_in_time_join.settings import JoinSettings
from components.point_in_time_join.tally import Tally

SPINE = ""
"""Stands where the other sources have their name."""

BUCKET_BYTES = 8 << 20
"""Compressed input to a bucket: about a hundred megabytes once joined."""

_WRITTEN_ROWS = 16_384

File = tuple[str, str, int, str]
"""A source's name, the split, the file's place among the split's files, and its path."""


def count_buckets(files: Iterable[File]) -> int:
    """How many buckets entities are parted into: from the input's size, so a rerun's are equal."""
    from apache_beam.io import filesystems

    paths = [path for *_, path in files]
    matches = filesystems.FileSystems.match(paths) if paths else []
    size = sum(found.size_in_bytes for match in matches for found in match.metadata_list)
    return min(MOST_OPEN, 1 + size // BUCKET_BYTES)


class SendToBuckets(beam.DoFn):
    """Reads files and sends their rows to the buckets of their entities.

    Beam's own shuffle would hold all rows in memory where the runner is local. So they go to files,
    and Beam gets a bucket and what was sent to it, once a bundle is finished.

    Takes a File, or None: then each bucket is sent nothing, so that each writes its shard.
    """

    def __init__(self, settings: str, buckets: int, work: str) -> None:
        self._json = settings
        self._buckets = buckets
        self._work = work

    def setup(self) -> None:
        """Reads the settings, once a worker."""
        self._settings = JoinSettings.model_validate_json(self._json)

    def start_bundle(self) -> None:
        """Begins files of this bundle's own."""
        self._files = BucketFiles(self._work)

    def process(self, file: File | None) -> Iterator[tuple[int, Sent | None]]:
        """Sends rows; where they come from stands in their schema's metadata."""
        if file is None:
            yield from ((bucket, None) for bucket in range(self._buckets))
            return
        name, split, place, path = file
        entity, wanted = self._columns(name, split)
        for number, batch in enumerate(read_batches([path])):
            names = [n for n in batch.schema.names if wanted is None or n in wanted]
            columns = [batch.column(batch.schema.get_field_index(n)) for n in names]
            metadata = {"source": name, "split": split, "order": f"{place:06d}.{number:08d}"}
            schema = pa.schema(
                [pa.field(n, c.type) for n, c in zip(names, columns, strict=True)], metadata
            )
            rows = pa.RecordBatch.from_arrays(columns, schema=schema)
            for bucket, index in self._parts(rows, entity):
                self._files.write(bucket, rows if index is None else rows.take(index))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Tells what was sent."""
        window = GlobalWindow()
        for sent in self._files.close().items():
            yield WindowedValue(sent, window.max_timestamp(), (window,))

    def _columns(self, name: str, split: str) -> tuple[str, set[str] | None]:
        """The entity's column, and those that are needed (None: all)."""
        if name == SPINE:
            return self._settings.spine.entity, None
        feed = feeds_of(name, self._settings.sources[name], [split])[split]
        return feed.entity, {*feed.keys, *feed.aggregated} if feed.windows else None

    def _parts(self, rows: pa.RecordBatch, entity: str) -> Iterator[tuple[int, pa.Array | None]]:
        position = rows.schema.get_field_index(entity)
        if self._buckets == 1 or position < 0:
            yield 0, None
            return
        alone = pa.RecordBatch.from_arrays([rows.column(position)], names=[entity])
        try:
            entities = entity_values(flatten(alone).column(0), name := entity, name)
        except DataError:
            # The bucket that gets these rows will say what is wrong with them.
            yield 0, None
            return
        bucket = (stable_hash(entities, "bucket") % np.uint64(self._buckets)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        numbers, begin = np.unique(bucket[order], return_index=True)
        for number, index in zip(numbers.tolist(), np.split(order, begin[1:]), strict=True):
            yield number, pa.array(index)


class JoinBucket(beam.DoFn):
    """Joins a bucket and writes its shard of each split; yields its tally.

    A shard takes its name when it is whole, and a bucket that is tried again writes the same one.
    """

    def __init__(
        self, settings: str, splits: dict[str, list[str]], as_of: int, buckets: int, uri: str
    ) -> None:
        self._json = settings
        self._splits = splits
        self._as_of = as_of
        self._buckets = buckets
        self._uri = uri

    def setup(self) -> None:
        """Reads the settings, once a worker."""
        self._settings = JoinSettings.model_validate_json(self._json)
        self._window = data_window(self._as_of, self._settings.split, self._settings.horizon)

    def process(self, element: tuple[int, Iterable[Sent | None]]) -> Iterator[tuple[None, Tally]]:
        """Takes a bucket and its rows."""
        bucket, sent = element
        nothing = pa.table({})
        try:
            tables = _gather(filter(None, sent))
            sources = {
                name: {split: tables.get((name, split), nothing) for split in splits}
                for name, splits in self._splits.items()
                if name != SPINE
            }
            spine = tables.get((SPINE, ALL), nothing)
            examples, tally = make_examples(spine, sources, self._settings, self._window)
        except DataError as error:
            # Beam would hand on no more than its text: as a value it arrives whole.
            yield None, Tally(problems=[error.__reduce__()[1]])
            return
        for split, table in examples.items():
            path = f"{split_folder(self._uri, split)}/{shard_name(bucket, self._buckets)}"
            with ShardWriter(path) as writer:
                for batch in table.combine_chunks().to_batches(max_chunksize=_WRITTEN_ROWS):
                    writer.write(batch)
        yield None, tally


def _gather(sent: Iterable[Sent]) -> dict[tuple[str, str], pa.Table]:
    """A bucket's tables by source and split, rows in the order of the files."""
    parts: dict[tuple[str, str], list[tuple[str, pa.Table]]] = {}
    for table in itertools.chain.from_iterable(map(read_sent, sent)):
        said = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
        part = parts.setdefault((said["source"], said["split"]), [])
        part.append((said["order"], table.replace_schema_metadata(None)))
    tables = {}
    for (name, split), part in parts.items():
        part.sort(key=lambda item: item[0])
        tables[name, split] = _stack([table for _, table in part], name)
    return tables


def _stack(tables: list[pa.Table], source: str) -> pa.Table:
    """One table over all columns; a column that a table lacks is missing in its rows."""
    types: dict[str, pa.DataType] = {}
    for table in tables:
        for field in table.schema:
            known = types.get(field.name, pa.null())
            if pa.types.is_null(known):
                types[field.name] = field.type
            elif not pa.types.is_null(field.type) and field.type != known:
                raise DataError(
                    source,
                    f"column {field.name!r}",
                    f"expected one type in all rows, found {known.value_type} and "
                    f"{field.type.value_type}",
                    "Cast it in the query, or set the source's types",
                )
    schema = pa.schema([pa.field(name, types[name]) for name in sorted(types)])
    padded = [_pad(table, schema) for table in tables]
    stacked = pa.concat_tables(padded).combine_chunks()
    batches = [flatten(batch) for batch in stacked.to_batches()]
    return pa.Table.from_batches(batches, schema=None if batches else schema)


def _pad(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns: list[Any] = []
    for field in schema:
        there = field.name in table.column_names and table[field.name].type == field.type
        columns.append(table[field.name] if there else pa.nulls(len(table), field.type))
    return pa.table(columns, schema=schema)
