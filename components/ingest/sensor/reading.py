"""Parts of sensor files as streams of columns, whatever their format; memory bounded by a block."""

import dataclasses
import functools
import gzip
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import numpy as np
import pyarrow as pa

from components.ingest.errors import DataError
from components.ingest.paths import is_remote
from components.ingest.sensor import files as sensor_files
from components.ingest.sensor import stores
from components.ingest.sensor.csv import CsvLines, read_header
from components.ingest.sensor.files import Part
from components.ingest.sensor.jsonl import JsonLines
from components.ingest.sensor.seen import grown, unchanged
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.text import Rows, count_lines

_BLOCK_BYTES = (64 << 10, 8 << 20)
_LONGEST_LINE = 16 << 20

# Arrow's JSON reader takes at most 100,000 rows at a time; lengths of lines vary.
_BLOCK_ROWS = 50_000

Parse = Callable[[], Iterable[Rows]]
"""Parses a block."""


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns that a source's settings name.

    Attributes:
      texts: keys, times, channel names and units.
      numbers: measured values.
    """

    texts: tuple[str, ...]
    numbers: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.texts + self.numbers


def wanted_columns(source: SensorSource) -> Columns:
    """The columns to read, each once."""
    texts = [source.entity, source.time.column]
    texts += [source.time.received_at] if source.time.received_at else []
    texts += [source.gateway] if source.gateway else []
    texts += [source.channel] if source.channel else []
    texts += [channel.unit_column for channel in source.channels.values() if channel.unit_column]
    if source.layout == "long":
        assert source.value is not None
        numbers = [source.value]
    else:
        numbers = [channel.column or name for name, channel in source.channels.items()]
    unique = tuple(dict.fromkeys(texts))
    return Columns(unique, tuple(n for n in dict.fromkeys(numbers) if n not in unique))


def read_part(name: str, source: SensorSource, part: Part) -> Iterator[Rows]:
    """Reads a part of a file; as ``part_blocks``, block after block."""
    for parse in part_blocks(name, source, part):
        yield from parse()


def part_blocks(name: str, source: SensorSource, part: Part) -> Iterator[Parse]:
    """Reads a part of a file in blocks.

    Args:
      name: the source's name, for messages.
      source: its settings.
      part: what to read; see sensor_files.

    Yields:
      For each block, in the file's order, what parses it, in any thread: into rows of at most about
      ``batch_rows``, in order but for lines that had to be repaired, which follow the others.

    Raises:
      DataError: if the file breaks off (a cut-off gzip or Parquet file) or changes meanwhile, or a
        line has no end.
    """
    wanted = wanted_columns(source)
    if part.format == "parquet":
        yield from _read_parquet(name, wanted, part, source.batch_rows)
        return
    with unchanged(name, part), open_text(part) as stream:
        try:
            if part.format == "jsonl":
                parser: JsonLines | CsvLines = JsonLines(wanted.texts, wanted.numbers)
                line = part.line
            else:
                first = stream.readline()
                parser = CsvLines(*read_header(first), wanted.texts, wanted.numbers)
                line = max(part.line, 2)
            begin = stream.tell() if not part.begin else part.begin
            if part.begin:
                stream.seek(part.begin)
            for block, count in _blocks(name, part, stream, begin, source.batch_rows):
                parser.learn(block)
                yield functools.partial(parser.parse, block, line, count)
                line += count
        except (OSError, EOFError) as error:
            raise sensor_files.unreadable(name, part.path, error) from None


def open_text(part: Part) -> IO[bytes]:
    """Opens a text file, unpacking it if it is compressed."""
    if part.compressed:
        packed = stores.open_file(part.path) if is_remote(part.path) else part.path
        return gzip.open(packed, "rb")  # type: ignore[return-value]
    return stores.open_file(part.path)


def _blocks(
    name: str, part: Part, stream: IO[bytes], begin: int, batch_rows: int
) -> Iterator[tuple[bytes, int]]:
    """Pieces of a file that hold whole lines, of about ``batch_rows`` lines, and how many."""
    smallest, largest = _BLOCK_BYTES
    size = smallest
    # What is added to a file while it is read is left to the next run.
    end = part.seen.size if part.end is None and part.seen and not part.compressed else part.end
    left = end - begin if end is not None else None
    rest = b""
    while True:
        piece = stream.read(size if left is None else min(size, left))
        if left is not None:
            left -= len(piece)
        if not piece:
            break
        cut = piece.rfind(b"\n") + 1
        if not cut:
            rest += piece
            if len(rest) > _LONGEST_LINE:
                raise DataError(
                    name,
                    part.path,
                    f"a line is longer than {_LONGEST_LINE >> 20} MiB",
                    f"Is the file {part.format}? Say the format in sources.{name}.format.",
                )
            continue
        block = b"".join((rest, memoryview(piece)[:cut]))
        rest = piece[cut:]
        count = count_lines(block)
        yield block, count
        average = max(1, len(block) // count)
        size = min(max(average * min(batch_rows, _BLOCK_ROWS), smallest), largest)
    if rest and not (part.end is None and grown(part)):
        yield rest, count_lines(rest)


def _read_parquet(name: str, wanted: Columns, part: Part, batch_rows: int) -> Iterator[Parse]:
    with unchanged(name, part), sensor_files.open_parquet(name, part.path) as file:
        present = [n for n in wanted.names if n in file.schema_arrow.names]
        end = file.metadata.num_row_groups if part.end is None else part.end
        line = part.line
        try:
            for batch in file.iter_batches(
                batch_size=batch_rows,
                row_groups=list(range(part.begin, end)),
                columns=present,
                use_threads=pa.cpu_count() > 1,
            ):
                rows = Rows(batch, np.arange(line, line + batch.num_rows), [])
                yield functools.partial(iter, (rows,))
                line += batch.num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise sensor_files.unreadable(name, part.path, error) from None
