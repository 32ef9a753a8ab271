"""Blocks of CSV parsed into columns by Arrow, with broken lines told apart."""

import contextlib
import csv
import functools
import gc
import sys
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from components.ingest.sensor.text import RAW_LIMIT, Ints, Rows, one_batch, shorten_line


class CsvLines:
    """A parser of CSV blocks.

    A record is a line: quoted values must not hold line ends.

    Args:
      header: the file's column names.
      delimiter: what parts the columns.
      texts: columns read as text: keys and times.
      numbers: columns of measured values.
    """

    def __init__(
        self, header: Sequence[str], delimiter: str, texts: Sequence[str], numbers: Sequence[str]
    ) -> None:
        self._header = list(header)
        self._delimiter = delimiter
        self._texts = [name for name in texts if name in self._header]
        self._numbers = [name for name in numbers if name in self._header]

    def learn(self, block: bytes) -> None:
        """Types of CSV are those that the settings ask for."""

    def parse(self, block: bytes, line: int, count: int) -> Iterator[Rows]:
        """Parses a block of ``count`` lines, of which the first has number ``line``."""
        numbers = np.arange(line, line + count)
        # A handler of broken rows costs some milliseconds: only where there are any.
        table, skipped = self._arrow(block, typed=True, skips=False)
        if table is not None and table.num_rows == count and b"\r" not in block:
            yield Rows(one_batch(table), numbers, [])
            return
        if b"\n\n" in block or b"\r\n\r\n" in block or block[:1] in (b"\n", b"\r"):
            lines = block.split(b"\n")[:count]
            filled = np.array([bool(text.strip()) for text in lines], bool)
            numbers = numbers[filled]
            lines = [text for text, keep in zip(lines, filled, strict=True) if keep]
            block, count = b"\n".join(lines) + b"\n", len(lines)
            if not count:
                return
            table, skipped = self._arrow(block, typed=True, skips=False)
        if table is None:
            table, skipped = self._arrow(block, typed=True, skips=True)
        if table is None:
            table, skipped = self._arrow(block, typed=False, skips=True)
        places = [place - 1 for place, _ in skipped if place is not None]
        if table is None or len(places) < len(skipped) or table.num_rows + len(places) != count:
            yield self._one_by_one(block.split(b"\n")[:count], numbers)
            return
        malformed = [
            (int(numbers[place]), text[:RAW_LIMIT])
            for place, (_, text) in zip(places, skipped, strict=True)
        ]
        yield Rows(one_batch(table), np.delete(numbers, places) if places else numbers, malformed)

    def _arrow(
        self, block: bytes, typed: bool, skips: bool
    ) -> tuple[pa.Table | None, list[tuple[int | None, str]]]:
        """The block's rows, and what it skipped: numbers from 1, and texts."""
        skipped: list[tuple[int | None, str]] = []

        def skip(row: pa_csv.InvalidRow) -> str:
            skipped.append((row.number, row.text))
            return "skip"

        kinds = {name: pa.string() for name in self._texts}
        kinds |= {name: pa.float64() if typed else pa.string() for name in self._numbers}
        try:
            with few_objects():
                table = pa_csv.read_csv(
                    pa.BufferReader(block),
                    read_options=pa_csv.ReadOptions(
                        use_threads=False, column_names=self._header, block_size=len(block) + 1
                    ),
                    parse_options=pa_csv.ParseOptions(
                        delimiter=self._delimiter, invalid_row_handler=skip if skips else None
                    ),
                    convert_options=pa_csv.ConvertOptions(
                        column_types=kinds,
                        include_columns=self._texts + self._numbers,
                        strings_can_be_null=True,
                        null_values=["", "null", "NULL", "None", "NA", "N/A"],
                    ),
                )
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None, []
        return table, skipped

    def _one_by_one(self, lines: list[bytes], numbers: Ints) -> Rows:
        """The way for blocks that Arrow refuses or miscounts: stray quotes, broken encoding."""
        names = self._texts + self._numbers
        places = [self._header.index(name) for name in names]
        columns: list[list[str | None]] = [[] for _ in names]
        good: list[int] = []
        malformed: list[tuple[int, str]] = []
        for text, number in zip(lines, numbers.tolist(), strict=True):
            try:
                fields = next(
                    csv.reader(
                        [text.decode("utf-8").rstrip("\r")], delimiter=self._delimiter, strict=True
                    )
                )
            except (csv.Error, UnicodeDecodeError, StopIteration):
                fields = []
            if len(fields) != len(self._header):
                malformed.append((number, shorten_line(text)))
                continue
            good.append(number)
            for column, place in zip(columns, places, strict=True):
                column.append(fields[place] or None)
        batch = pa.RecordBatch.from_arrays(
            [pa.array(column, pa.string()) for column in columns], names=names
        )
        return Rows(batch, np.array(good, np.int64), malformed)


_freezing = threading.Lock()
_readers = 0


@contextlib.contextmanager
def few_objects() -> Iterator[None]:
    """Spares pyarrow a walk over all objects of the process for each block.

    On Python 3.10 its CSV reader works around https://bugs.python.org/issue42248 with
    gc.get_referrers: some milliseconds, or a hundred where TensorFlow is loaded. It needs to see
    only objects made since; freezing and unfreezing the others costs nothing. They stay frozen
    until the last of several threads has read its block.
    """
    global _readers
    with _freezing:
        spared = sys.version_info[:2] == (3, 10) and not _frozen()
        if spared:
            _readers += 1
            gc.freeze()
    try:
        yield
    finally:
        with _freezing:
            _readers -= spared
            if spared and not _readers:
                gc.unfreeze()


@functools.cache
def _frozen() -> bool:
    """Whether this process froze its objects for good; counting them walks over them."""
    return gc.get_freeze_count() > 0


def read_header(line: bytes) -> tuple[list[str], str]:
    """Column names of a CSV file's first line, and what parts them: comma, semicolon or tab."""
    text = line.decode("utf-8-sig", errors="replace").strip("\r\n")
    delimiter = max(",;\t", key=text.count)
    names = next(csv.reader([text], delimiter=delimiter), [])
    return [name.strip() for name in names], delimiter
