"""What reading a source of rows is told, and what it promises before it reads."""

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from components.ingest.durations import format_instant
from components.ingest.errors import DataError

if TYPE_CHECKING:
    # Settings are read in a fraction of the time that importing Arrow takes.
    import pyarrow as pa

FAR_FUTURE = 221_845_392_000_000_000
"""9000-01-01, microseconds since the epoch: later than any row, yet a time in every database."""

_ARROW = {
    "int": "int64",
    "float": "float64",
    "bool": "bool",
    "text": "string",
    "bytes": "binary",
    "time": "int64",
    "clock": "int64",
    "span": "int64",
    "null": "null",
}


@dataclasses.dataclass(frozen=True)
class Times:
    """The stretch of time that is asked for, microseconds since the epoch.

    Attributes:
      begin: the first instant wanted.
      end: the first instant not wanted any more.
      as_of: the instant at which the run stands.
    """

    begin: int
    end: int
    as_of: int


@dataclasses.dataclass(frozen=True)
class Column:
    """A source's column.

    Attributes:
      name: as the source names it.
      kind: a kind of the table in ``sql/columns.py``, or ``'null'`` if it holds nothing but NULL.
      converts: whether the settings ask for this kind, so that text is read and numbers written.
      required: whether NULL is an error.
    """

    name: str
    kind: str
    converts: bool = False
    required: bool = False

    @property
    def arrow_type(self) -> "pa.DataType":
        """The type of its Arrow column."""
        return arrow_type(self.kind)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a source is read: settled once, so that all its parts give the same columns.

    Attributes:
      columns: the result's columns, in order.
      partitions: the parts; a part travels to another process, and its ``str`` stands in reports.
    """

    columns: tuple[Column, ...]
    partitions: tuple[Any, ...]

    @property
    def arrow_schema(self) -> "pa.Schema":
        """The schema of each part's batches."""
        import pyarrow as pa

        return pa.schema([(column.name, column.arrow_type) for column in self.columns])


class Preview(NamedTuple):
    """A first look at a source.

    Attributes:
      columns: the columns' names.
      types: kinds by column name.
      table: the first rows.
    """

    columns: list[str]
    types: dict[str, str]
    table: "pa.Table"


def arrow_type(kind: str) -> "pa.DataType":
    """The type of a kind's Arrow column."""
    import pyarrow as pa

    if kind.startswith("list<"):
        return pa.list_(arrow_type(kind[len("list<") : -1]))
    return pa.type_for_alias(_ARROW[kind])


class NoRowsError(DataError):
    """A source has no rows in the stretch of time that is asked for."""


def no_rows(name: str, where: str, times: Times, also: str = "") -> NoRowsError:
    """The error of a source without rows.

    Args:
      name: the source's name.
      where: the table, collection or query.
      times: what was asked for.
      also: what else is known, to be added to the rule.
    """
    if (times.begin, times.end) == (0, FAR_FUTURE):
        span = "at any time"
    else:
        span = f"from {format_instant(times.begin)} to {format_instant(times.end)}"
    return NoRowsError(
        name,
        where,
        f"it gives no rows {span}{also}",
        "Check --as-of against the times in the data, the lengths of split and windows, and the "
        "query's conditions",
    )
