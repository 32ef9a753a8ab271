"""Binding ``:begin``, ``:end`` and ``:as_of`` to a source's query, as its database compares times.

============  ==================================================================================
Database      What is bound
============  ==================================================================================
any, with     an integer in that unit (begin and end rounded up, as_of down)
``time_unit``
PostgreSQL    a zoned timestamp; the session runs in the source's ``timezone``, so it compares
              rightly with timestamptz, timestamp and date columns
SQLite        text such as ``2025-04-17 06:00:00`` in the source's ``timezone``, with six digits
              of a fraction only if there is one. So ``>= :begin`` and ``< :end`` are right for
              columns written with or without a fraction (SQLAlchemy writes one, SQLite's
              ``datetime()`` does not); a column written otherwise, as with a ``T`` or an offset,
              is compared as ``datetime(column) >= :begin``
all others    a naive timestamp in the source's ``timezone``
============  ==================================================================================
"""

import datetime
import re
import zoneinfo
from typing import Any

import sqlalchemy as sa

from components.ingest.durations import MICROSECONDS
from components.ingest.errors import DataError
from components.ingest.plan import Times
from components.ingest.sources import SqlSource

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def bound_query(
    name: str, source: SqlSource, query: str, times: Times, dialect: str
) -> sa.TextClause:
    """A query with those of its parameters bound that it mentions.

    Args:
      name: the source's name, for messages.
      source: its settings.
      query: the SQL text, with ``:begin``, ``:end`` and ``:as_of`` at will.
      times: what these stand for.
      dialect: SQLAlchemy's name of the database.

    Raises:
      DataError: if the query has other parameters.
    """
    if cast := re.search(r":(begin|end|as_of)::\s*(\w+)", query):
        raise DataError(
            name,
            "query",
            "a parameter cannot be followed by '::'",
            f"Write CAST(:{cast[1]} AS {cast[2]})",
            cast[0],
        )
    # A line of its own after the query: its last line may end in a comment.
    text = sa.text(query.strip().rstrip(";").rstrip() + "\n")
    values = {
        "begin": (times.begin, True),
        "end": (times.end, True),
        "as_of": (times.as_of, False),
    }
    bound = []
    for parameter in text.compile().params:
        if parameter not in values:
            raise DataError(
                name,
                "query",
                f"it has a parameter :{parameter}; there are :begin, :end and :as_of",
                f"Write a colon that is no parameter as \\:{parameter}",
            )
        moment, up = values[parameter]
        bound.append(_parameter(parameter, source, moment, up, dialect))
    return text.bindparams(*bound)


def _parameter(
    parameter: str, source: SqlSource, moment: int, up: bool, dialect: str
) -> sa.BindParameter[Any]:
    if source.time_unit is not None:
        unit = MICROSECONDS[source.time_unit]
        count = -(-moment // unit) if up else moment // unit
        return sa.bindparam(parameter, count, sa.BigInteger())
    utc = _EPOCH + datetime.timedelta(microseconds=moment)
    if dialect == "postgresql":
        return sa.bindparam(parameter, utc, sa.DateTime(timezone=True))
    local = utc.astimezone(zoneinfo.ZoneInfo(source.timezone)).replace(tzinfo=None)
    if dialect == "sqlite":
        return sa.bindparam(parameter, local.isoformat(sep=" "), sa.String())
    return sa.bindparam(parameter, local, sa.DateTime())
