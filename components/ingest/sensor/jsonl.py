"""Blocks of JSONL parsed into columns by Arrow, with broken lines told apart."""

import collections
import json
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.json as pa_json

from components.ingest.sensor.alike import parse_alike
from components.ingest.sensor.text import Ints, Rows, one_batch, shorten_line

_ROW = re.compile(r"in row (\d+)$")
_PIECE_LINES = 2000
_MOST_STUMBLES = 20
_HEAD = 1 << 16
_HEAD_LINES = 200


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

    def learn(self, block: bytes) -> None:
        """Takes the columns' types from a file's first block, before any is parsed."""
        if self._schema is None:
            self._schema = self.infer(block)

    def parse(self, block: bytes, line: int, count: int) -> Iterator[Rows]:
        """Parses a block of ``count`` lines, of which the first has number ``line``."""
        numbers = np.arange(line, line + count)
        if not _is_utf8(block):
            yield self._one_by_one(block.split(b"\n")[:count], numbers)
            return
        alike = parse_alike(block, count, self._schema) if self._schema is not None else None
        if alike is not None:
            yield Rows(alike, numbers, [])
            return
        table = self._arrow(block)
        if isinstance(table, pa.Table) and table.num_rows == count:
            yield Rows(one_batch(table), numbers, [])
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
                one_batch(table),
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
                    yield Rows(one_batch(found), numbers[begin:stop], [])
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
                malformed.append((number, shorten_line(text)))
                continue
            good.append(number)
            for name in names:
                columns[name].append(_as_text(record.get(name)))
        batch = pa.RecordBatch.from_arrays(
            [pa.array(columns[name], pa.string()) for name in names], names=names
        )
        return Rows(batch, np.array(good, np.int64), malformed)


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
