"""Writing SQL for the databases that ``init`` knows: names, time arithmetic, a calendar."""

import re

import sqlalchemy as sa

from components.ingest.durations import MICROSECONDS, format_instant
from components.ingest.errors import DataError
from pipeline.init.facts import Column

KNOWN = ("postgresql", "sqlite", "mysql", "mariadb")


class Writer:
    """Writes names and times as a database reads them."""

    def __init__(self, dialect: sa.Dialect) -> None:
        """Takes SQLAlchemy's dialect, whose rules of quoting hold."""
        self.dialect = dialect.name
        self._preparer = dialect.identifier_preparer

    def quote(self, name: str) -> str:
        """A name as SQL text, quoted where that is needed; a colon is no parameter."""
        return _no_parameter(self._preparer.quote(name))

    def text(self, value: str) -> str:
        """A text value."""
        if self.dialect in ("mysql", "mariadb"):
            value = value.replace("\\", "\\\\")
        escaped = value.replace("'", "''")
        return _no_parameter(f"'{escaped}'")

    def of(self, alias: str, name: str) -> str:
        """A column of the table with this alias; empty where the query has one table."""
        return f"{alias}.{self.quote(name)}" if alias else self.quote(name)

    def moment(self, alias: str, column: Column) -> str:
        """A time in a form that compares rightly with other times."""
        return self._time(alias, column, odd=column.form != "whole")

    def within(self, alias: str, column: Column) -> str:
        """The condition that a time lies from ``:begin`` to before ``:end``."""
        time = self._time(alias, column, odd=column.form == "other")
        return f"{time} >= :begin AND {time} < :end"

    def later(self, moment: str, microseconds: int, unit: str | None = None) -> str:
        """A time and a duration added.

        Raises:
          DataError: if it is not known how the database adds them.
        """
        if unit is not None:
            return f"{moment} + {microseconds // MICROSECONDS[unit]}"
        self._must_know()
        count, name = _counted(microseconds)
        if self.dialect == "postgresql":
            return f"{moment} + INTERVAL '{count} {name}s'"
        if self.dialect == "sqlite":
            return f"datetime({moment}, '+{count} {name}s')"
        return f"{moment} + INTERVAL {count} {name.upper()}"

    def calendar(self, begin: int, step: int, last: str) -> str:
        """A query of times ``observed_at`` on a grid, from ``:begin`` to before ``:end``.

        Args:
          begin: the first time, microseconds since the epoch.
          step: between two times, microseconds.
          last: a query of the last time that the data reach: without it a far ``:end`` would make
            times for ever.

        Raises:
          DataError: if it is not known how the database counts.
        """
        self._must_know()
        first = self.text(format_instant(begin)[:19].replace("T", " "))
        count, name = _counted(step)
        bounds = "observed_at >= :begin AND observed_at < :end"
        if self.dialect == "postgresql":
            return (
                f"SELECT observed_at\nFROM generate_series(\n  CAST({first} AS timestamptz),\n"
                f"  LEAST(CAST(:end AS timestamptz), ({last})),\n  INTERVAL '{count} {name}s'\n"
                f") AS observed_at\nWHERE {bounds}"
            )
        if self.dialect == "sqlite":
            return (
                f"WITH RECURSIVE ticks(observed_at) AS (\n  SELECT {first}\n  UNION ALL\n"
                f"  SELECT datetime(observed_at, '+{count} {name}s') FROM ticks\n"
                f"  WHERE observed_at < MIN(:end, ({last}))\n)\n"
                f"SELECT observed_at FROM ticks\nWHERE {bounds}\n  AND observed_at <= ({last})"
            )
        # Numbers by digits: MySQL's recursive queries end after 1,000 rows.
        digits = "(SELECT 0 AS n" + "".join(f" UNION ALL SELECT {n}" for n in range(1, 10)) + ")"
        names = ("a", "b", "c", "d", "e")
        number = " + ".join(f"{10**power} * {digit}.n" for power, digit in enumerate(names))
        joined = "\n  CROSS JOIN ".join(f"{digits} AS {digit}" for digit in names)
        return (
            f"SELECT observed_at FROM (\n  SELECT CAST({first} AS DATETIME)\n"
            f"    + INTERVAL {count} * ({number}) {name.upper()} AS observed_at\n"
            f"  FROM {joined}\n) AS ticks\nWHERE {bounds}\n  AND observed_at <= ({last})"
        )

    def _time(self, alias: str, column: Column, odd: bool) -> str:
        written = self.of(alias, column.name)
        wrapped = self.dialect == "sqlite" and column.unit is None and odd
        return f"datetime({written})" if wrapped else written

    def _must_know(self) -> None:
        if self.dialect not in KNOWN:
            raise DataError(
                "init",
                f"database {self.dialect}",
                f"how it adds durations to times is known of {', '.join(KNOWN)} only",
                "Give the spine's query by --query, with the label among its columns",
            )


def _counted(microseconds: int) -> tuple[int, str]:
    hours, rest = divmod(microseconds, MICROSECONDS["h"])
    return (microseconds // MICROSECONDS["s"], "second") if rest else (hours, "hour")


def _no_parameter(text: str) -> str:
    """Masks the colons that would begin a bound parameter."""
    return re.sub(r"(?<![:\w\\]):(?=\w)", r"\\:", text)
