"""A first look at a sensor source's files: their columns and types, before all of it is read."""

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

from components.ingest.errors import DataError
from components.ingest.sensor import files as sensor_files
from components.ingest.sensor.csv import few_objects, read_header
from components.ingest.sensor.files import Part
from components.ingest.sensor.jsonl import JsonLines
from components.ingest.sensor.reading import open_text, wanted_columns
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.tally import Tally

_HEAD = 1 << 16


@dataclasses.dataclass(frozen=True)
class Preview:
    """What the files' first rows show.

    Attributes:
      files: how many files there are.
      bytes: their size on disk.
      rows: the first rows of the first file, in its own columns.
      columns: by column name its type, as written in the first file that has it.
      lacking: by column that the settings name, the files that don't show it.
      entity: ``int`` or ``text``: what the entity column holds in all files.
    """

    files: int
    bytes: int
    rows: pa.Table
    columns: dict[str, str]
    lacking: dict[str, list[str]]
    entity: str


def preview(source: SensorSource, rows: int = 10, name: str = "sensor") -> Preview:
    """Reads the first rows of each file and holds them against the settings.

    Args:
      source: the settings.
      rows: how many rows to return.
      name: the source's name, for messages.

    Raises:
      DataError: if no file matches, one cannot be read, a column that the settings name stands in
        no file, or times are numbers and the settings say no unit.
    """
    return look(name, source, sensor_files.whole_files(name, source), rows)


def look(name: str, source: SensorSource, parts: Sequence[Part], rows: int = 10) -> Preview:
    """As preview, of files that have been found."""
    wanted = wanted_columns(source)
    columns: dict[str, str] = {}
    lacking: dict[str, list[str]] = {column: [] for column in wanted.names}
    first: pa.Table | None = None
    ints, texts, sparse = False, False, False
    for part in parts:
        unseen = first is None or not first.num_rows
        table, whole, kind = first_rows(name, part, source.entity, unseen)
        first = table if unseen else first
        sparse |= not whole
        for field in table.schema:
            columns.setdefault(field.name, str(field.type))
        for column in wanted.names:
            if column not in table.schema.names:
                lacking[column].append(part.path)
        ints |= kind == "int"
        texts |= kind == "text"
        if kind == "int":
            columns[source.entity] = "int64"
        _check_time(name, source, part, table)
    shown = [part for part in parts if part.bytes] or list(parts)
    for column, files in lacking.items():
        # A sparse JSONL file may hold a channel that its first lines don't.
        sure = column in wanted.texts[:2] or column in (source.channel, source.value) or not sparse
        if len(files) == len(parts) and columns and sure:
            raise _no_such_column(name, source, column, list(columns), shown[0].path)
    assert first is not None
    return Preview(
        files=len(parts),
        bytes=sum(part.bytes for part in parts),
        rows=first.slice(0, rows),
        columns=columns,
        lacking={column: files for column, files in lacking.items() if files},
        entity="int" if ints and not texts else "text",
    )


def check_channels(
    name: str, source: SensorSource, seen: Preview, tally: Tally, files: Sequence[str]
) -> None:
    """After all is read: is there a channel whose column no line of any file had?

    Raises:
      DataError: as look does of columns that the first lines show to be absent.
    """
    for channel, settings in source.channels.items():
        column = settings.column or channel
        lacking = source.layout == "wide" and len(seen.lacking.get(column, [])) == seen.files
        counts: Mapping[str, int] = tally.channels.get(channel, {})
        if lacking and not any(n for outcome, n in counts.items() if outcome != "missing"):
            raise _no_such_column(name, source, column, list(seen.columns), files[0])


def first_rows(
    name: str, part: Part, entity: str, needed: bool = True
) -> tuple[pa.Table, bool, str | None]:
    """A file's first rows, types inferred; whether they show all columns; what entities are.

    Args:
      name: the source's name, for messages.
      part: the file.
      entity: the column with the entity; the file may lack it.
      needed: whether a file that tells its columns must be read for its rows, too.

    Raises:
      DataError: if the file cannot be read.
    """
    if part.format == "parquet":
        with sensor_files.open_parquet(name, part.path) as file:
            table = file.schema_arrow.empty_table()
            for batch in file.iter_batches(batch_size=1000) if needed else ():
                table = pa.Table.from_batches([batch])
                break
        return table, True, _entity_kind(table, entity)
    try:
        with open_text(part) as stream:
            head = stream.read(_HEAD)
            whole = not stream.read(1)
    except (OSError, EOFError) as error:
        raise sensor_files.unreadable(name, part.path, error) from None
    if not whole:
        head = head[: head.rfind(b"\n") + 1] or head
    if part.format == "csv":
        table = _csv_head(head, entity)
        return table, True, _entity_kind_of_csv(table, entity)
    table = _json_head(head)
    kind = None
    if entity in table.schema.names and table.column(entity).null_count < len(table):
        usual = JsonLines([entity], []).infer(head).field(entity).type
        kind = "int" if pa.types.is_integer(usual) else "text"
    return table, whole, kind


def _csv_head(head: bytes, entity: str) -> pa.Table:
    first, _, rest = head.partition(b"\n")
    header, delimiter = read_header(first)
    header = [column for column in header if column]
    if not rest.strip():
        return pa.table({column: pa.nulls(0) for column in header})
    try:
        with few_objects():
            return pa_csv.read_csv(
                pa.BufferReader(rest),
                read_options=pa_csv.ReadOptions(
                    column_names=header, use_threads=False, block_size=_HEAD * 2
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=delimiter, invalid_row_handler=lambda row: "skip"
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types={entity: pa.string()}, strings_can_be_null=True
                ),
            )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return pa.table({column: pa.nulls(0, pa.string()) for column in header})


def _json_head(head: bytes) -> pa.Table:
    try:
        if head.strip():
            return pa_json.read_json(
                pa.BufferReader(head),
                read_options=pa_json.ReadOptions(use_threads=False, block_size=len(head) + 1),
            )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        pass
    columns: dict[str, list] = {}
    for line in head.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        for column, value in record.items() if isinstance(record, dict) else ():
            columns.setdefault(column, []).append(value)
    arrays = {}
    for column, values in columns.items():
        try:
            kind = pa.array(values).type
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            kind = pa.string()
        arrays[column] = (kind, values)
    count = max((len(values) for _, values in arrays.values()), default=0)
    return pa.table(
        {
            column: pa.array(
                [v if kind != pa.string() or v is None else str(v) for v in values]
                + [None] * (count - len(values)),
                kind,
            )
            for column, (kind, values) in arrays.items()
        }
    )


def _entity_kind(table: pa.Table, entity: str) -> str | None:
    """What an entity column holds, None if it holds nothing."""
    if entity not in table.schema.names or pa.types.is_null(table.schema.field(entity).type):
        return None
    return "int" if pa.types.is_integer(table.schema.field(entity).type) else "text"


def _entity_kind_of_csv(table: pa.Table, entity: str) -> str | None:
    """As _entity_kind: digits are numbers unless one such as '007' is among them."""
    if entity not in table.schema.names or table.column(entity).null_count == len(table):
        return None
    column = table.column(entity).cast(pa.string())
    digits = pc.all(pc.match_substring_regex(column, r"^(?:0|-?[1-9]\d{0,17})$")).as_py()
    return "int" if digits else "text"


def _check_time(name: str, source: SensorSource, part: Part, table: pa.Table) -> None:
    for column in (source.time.column, source.time.received_at):
        if column is None or column not in table.schema.names or source.time.unit is not None:
            continue
        kind = table.schema.field(column).type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            example = next((v.as_py() for v in table.column(column) if v.is_valid), None)
            raise DataError(
                name,
                f"{part.path}, column {column!r}",
                "a number, and nothing says what it counts",
                f"Set sources.{name}.time.unit to s, ms, us or ns.",
                example,
            )


def _no_such_column(
    name: str, source: SensorSource, column: str, present: list[str], path: str
) -> DataError:
    near = difflib.get_close_matches(column, present, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(present[:12]) + (", …" if len(present) > 12 else "")
    return DataError(
        name,
        f"column {column!r}",
        "no file has it",
        f"{hint}{path} has {shown}. Mend the name in sources.{name}.",
    )
