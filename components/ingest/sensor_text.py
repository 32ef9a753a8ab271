"""Blocks of JSONL and CSV parsed into columns by Arrow, with broken lines told apart.

A block holds whole lines. Arrow parses all of it at once; only where that fails are lines looked at
one by one, so that a broken line costs itself and not its neighbours.
"""

import collections
import contextlib
import csv
import gc
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

Ints = npt.NDArray[np.int64]

RAW_LIMIT = 500
"""A rejected line is kept up to this many characters."""

_ROW = re.compile(r"in row (\d+)$")
_PIECE_LINES = 2000
_MOST_STUMBLES = 20
_HEAD = 1 << 16
_HEAD_LINES = 200


class Rows(NamedTuple):
    """Rows of a file.

    Attributes:
      batch: n rows; of the wanted columns those that the file has.
      lines: int64[n], the number of each row's line (row, in Parquet), counted from 1.
      malformed: lines that are no rows: number and text.
    """

    batch: pa.RecordBatch
    lines: Ints
    malformed: list[tuple[int, str]]


class JsonLines:
    """A parser of JSONL blocks.

    Args:
      texts: columns read as they are: keys and times.
      numbers: columns of measured values.
    """

    def __init__(self, texts: Sequence[str], numbers: Sequence[str]) -> None:
        self._texts = list(texts)
        self._numbers = list(numbers)
        self._schema: pa.Schema | None = None

    def parse(self, block: bytes, line: int, count: int) -> Iterator[Rows]:
        """Parses a block of ``count`` lines, of which the first has number ``line``."""
        if self._schema is None:
            self._schema = self.infer(block)
        numbers = np.arange(line, line + count)
        if not _is_utf8(block):
            yield self._one_by_one(block.split(b"\n")[:count], numbers)
            return
        table = self._arrow(block)
        if isinstance(table, pa.Table) and table.num_rows == count:
            yield Rows(_batch(table), numbers, [])
            return
        # Something is amiss: empty lines, or lines that are no object.
        lines = block.split(b"\n")[:count]
        filled = np.array([bool(text.strip()) for text in lines], bool)
        if not filled.all():
            lines = [text for text, keep in zip(lines, filled, strict=True) if keep]
            numbers = numbers[filled]
        # Pieces that Arrow read, and those that it refused, are of one type each.
        pieces = list(self._isolate(lines, numbers))
        for schema in dict.fromkeys(rows.batch.schema for rows in pieces):
            alike = [rows for rows in pieces if rows.batch.schema == schema]
            table = pa.Table.from_batches([rows.batch for rows in alike], schema=schema)
            yield Rows(
                _batch(table),
                np.concatenate([rows.lines for rows in alike]),
                [line for rows in alike for line in rows.malformed],
            )

    def infer(self, block: bytes) -> pa.Schema:
        """What most of a block's first lines hold: whether columns are text or numbers."""
        seen: dict[str, collections.Counter] = {
            name: collections.Counter() for name in self._texts + self._numbers
        }
        for line in block[:_HEAD].splitlines()[:_HEAD_LINES]:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                for name, kinds in seen.items():
                    kinds[type(record.get(name))] += 1
        fields = []
        for name, kinds in seen.items():
            usual: pa.DataType = pa.float64() if name in self._numbers else pa.string()
            kinds.pop(type(None), None)
            if kinds:
                most = kinds.most_common(1)[0][0]
                usual = {str: pa.string(), bool: pa.bool_(), float: pa.float64()}.get(most, usual)
                if most is int:
                    whole = name in self._texts and kinds[int] >= 3 * kinds[float]
                    usual = pa.int64() if whole else pa.float64()
            fields.append(pa.field(name, usual))
        return pa.schema(fields)

    def _arrow(self, block: bytes) -> pa.Table | int:
        """The block's rows, or the row that Arrow stumbles over, -1 if it doesn't tell."""
        try:
            return pa_json.read_json(
                pa.BufferReader(block),
                read_options=pa_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
                parse_options=pa_json.ParseOptions(
                    explicit_schema=self._schema, unexpected_field_behavior="ignore"
                ),
            )
        except pa.ArrowInvalid as error:
            row = _ROW.search(str(error))
            return int(row[1]) if row else -1

    def _isolate(self, lines: list[bytes], numbers: Ints) -> Iterator[Rows]:
        """Parses what Arrow can between the lines that it stumbles over.

        A stumble costs a piece of lines to be parsed again, so pieces are small.
        """
        for begin in range(0, len(lines), _PIECE_LINES):
            end = min(begin + _PIECE_LINES, len(lines))
            rest: list[int] = []
            while begin < end:
                found = self._arrow(b"\n".join(lines[begin:end]) + b"\n")
                stop = end
                if isinstance(found, int):
                    if not 0 <= found < end - begin or len(rest) >= _MOST_STUMBLES:
                        rest += range(begin, end)
                        break
                    stop = begin + found
                    rest.append(stop)
                    found = self._arrow(b"\n".join(lines[begin:stop]) + b"\n")
                if isinstance(found, pa.Table) and found.num_rows == stop - begin:
                    yield Rows(_batch(found), numbers[begin:stop], [])
                else:
                    # An object on two lines, or two on one: Arrow counts what it should not.
                    rest += range(begin, stop)
                begin = stop + 1
            if rest:
                rest.sort()
                yield self._one_by_one([lines[i] for i in rest], numbers[rest])

    def _one_by_one(self, lines: list[bytes], numbers: Ints) -> Rows:
        """The way for lines that Arrow refuses: values come out as text, whatever they were."""
        names = self._texts + self._numbers
        columns: dict[str, list[str | None]] = {name: [] for name in names}
        good: list[int] = []
        malformed: list[tuple[int, str]] = []
        for text, number in zip(lines, numbers.tolist(), strict=True):
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                malformed.append((number, _shown(text)))
                continue
            good.append(number)
            for name in names:
                columns[name].append(_as_text(record.get(name)))
        batch = pa.RecordBatch.from_arrays(
            [pa.array(columns[name], pa.string()) for name in names], names=names
        )
        return Rows(batch, np.array(good, np.int64), malformed)


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
        self._skipped: list[tuple[int | None, str]] = []
        self._texts = [name for name in texts if name in self._header]
        self._numbers = [name for name in numbers if name in self._header]

    def parse(self, block: bytes, line: int, count: int) -> Iterator[Rows]:
        """Parses a block of ``count`` lines, of which the first has number ``line``."""
        numbers = np.arange(line, line + count)
        if b"\n\n" in block or b"\r\n\r\n" in block or block[:1] in (b"\n", b"\r"):
            lines = block.split(b"\n")[:count]
            filled = np.array([bool(text.strip()) for text in lines], bool)
            numbers = numbers[filled]
            lines = [text for text, keep in zip(lines, filled, strict=True) if keep]
            block, count = b"\n".join(lines) + b"\n", len(lines)
            if not count:
                return
        # A handler of broken rows costs some milliseconds: only where there are any.
        table = self._arrow(block, typed=True, handler=None)
        if table is None:
            table = self._arrow(block, typed=True, handler=self._skip)
        if table is None:
            table = self._arrow(block, typed=False, handler=self._skip)
        skipped = list(self._skipped)
        places = [place - 1 for place, _ in skipped if place is not None]
        if table is None or len(places) < len(skipped) or table.num_rows + len(places) != count:
            yield self._one_by_one(block.split(b"\n")[:count], numbers)
            return
        malformed = [
            (int(numbers[place]), text[:RAW_LIMIT])
            for place, (_, text) in zip(places, skipped, strict=True)
        ]
        yield Rows(_batch(table), np.delete(numbers, places) if places else numbers, malformed)

    def _skip(self, row: pa_csv.InvalidRow) -> str:
        self._skipped.append((row.number, row.text))
        return "skip"

    def _arrow(
        self, block: bytes, typed: bool, handler: Callable[[pa_csv.InvalidRow], str] | None
    ) -> pa.Table | None:
        self._skipped.clear()
        kinds = {name: pa.string() for name in self._texts}
        kinds |= {name: pa.float64() if typed else pa.string() for name in self._numbers}
        try:
            with few_objects():
                return pa_csv.read_csv(
                    pa.BufferReader(block),
                    read_options=pa_csv.ReadOptions(
                        use_threads=False, column_names=self._header, block_size=len(block) + 1
                    ),
                    parse_options=pa_csv.ParseOptions(
                        delimiter=self._delimiter, invalid_row_handler=handler
                    ),
                    convert_options=pa_csv.ConvertOptions(
                        column_types=kinds,
                        include_columns=self._texts + self._numbers,
                        strings_can_be_null=True,
                        null_values=["", "null", "NULL", "None", "NA", "N/A"],
                    ),
                )
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None

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
                malformed.append((number, _shown(text)))
                continue
            good.append(number)
            for column, place in zip(columns, places, strict=True):
                column.append(fields[place] or None)
        batch = pa.RecordBatch.from_arrays(
            [pa.array(column, pa.string()) for column in columns], names=names
        )
        return Rows(batch, np.array(good, np.int64), malformed)


@contextlib.contextmanager
def few_objects() -> Iterator[None]:
    """Spares pyarrow a walk over all objects of the process for each block.

    On Python 3.10 its CSV reader works around https://bugs.python.org/issue42248 with
    gc.get_referrers: some milliseconds, or a hundred where TensorFlow is loaded. It needs to see
    only objects made since; freezing and unfreezing the others costs nothing.
    """
    if sys.version_info[:2] != (3, 10) or gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def read_header(line: bytes) -> tuple[list[str], str]:
    """Column names of a CSV file's first line, and what parts them: comma, semicolon or tab."""
    text = line.decode("utf-8-sig", errors="replace").strip("\r\n")
    delimiter = max(",;\t", key=text.count)
    names = next(csv.reader([text], delimiter=delimiter), [])
    return [name.strip() for name in names], delimiter


def count_lines(block: bytes) -> int:
    """How many lines a block holds; the last may lack its line end."""
    return block.count(b"\n") + (not block.endswith(b"\n") and bool(block))


def _batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    if batches:
        return batches[0]
    return pa.RecordBatch.from_arrays(
        [pa.array([], field.type) for field in table.schema], schema=table.schema
    )


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return repr(value) if isinstance(value, int | float) else json.dumps(value)


def _shown(text: bytes) -> str:
    return text[: 4 * RAW_LIMIT].decode("utf-8", errors="replace").rstrip("\r")[:RAW_LIMIT]
