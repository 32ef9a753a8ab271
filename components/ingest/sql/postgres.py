"""PostgreSQL's column types: how psycopg is to load them, and what kinds they are.

Times, JSON and UUIDs are loaded as text, decimals as floats: psycopg does both in C, and Arrow
reads a whole column of times faster than psycopg makes as many datetimes.
"""

from collections.abc import Sequence

import psycopg
import psycopg.types.numeric
import psycopg.types.string
import sqlalchemy as sa

_KINDS = {
    "int": ("int2", "int4", "int8", "oid"),
    "float": ("float4", "float8", "numeric"),
    "bool": ("bool",),
    "bytes": ("bytea",),
    "text": (
        *("text", "varchar", "bpchar", "name", '"char"', "json", "jsonb", "uuid", "xml"),
        *("inet", "cidr", "macaddr"),
    ),
    "time": ("timestamp", "timestamptz", "date"),
    "clock": ("time",),
    "span": ("interval",),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
_AS_TEXT = ("json", "jsonb", "uuid", "inet", "cidr", "timestamp", "timestamptz", "date")


def register_loaders(connection: sa.Connection) -> None:
    """Tells a psycopg connection how to load values."""
    adapters = connection.connection.driver_connection.adapters  # type: ignore[union-attr]
    for name in _AS_TEXT:
        adapters.register_loader(name, psycopg.types.string.TextLoader)
    adapters.register_loader("numeric", psycopg.types.numeric.FloatLoader)


def kinds(connection: sa.Connection, oids: Sequence[int]) -> list[tuple[str | None, str]]:
    """Kinds of columns by their types' ids.

    Args:
      connection: asked for types that the database's users made.
      oids: a type's id a column, as in a cursor's description.

    Returns:
      By column the kind, such as ``'int'`` or ``'list<text>'``, or None where there is none for it;
      and the type's own name.
    """
    own = {oid for oid in oids if psycopg.adapters.types.get(oid) is None}
    made = {}
    if own:
        rows = connection.execute(
            sa.text(
                "SELECT t.oid, t.typtype, t.typcategory, format_type(t.oid, NULL),"
                " e.typtype, e.typcategory FROM pg_type t"
                " LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'"
                " WHERE t.oid = ANY(:oids)"
            ),
            {"oids": sorted(own)},
        )
        made = {row[0]: row[1:] for row in rows}
    found: list[tuple[str | None, str]] = []
    for oid in oids:
        known = psycopg.adapters.types.get(oid)
        if known is not None:
            kind = _KIND_OF.get(known.name)
            if oid == known.array_oid:
                found.append((f"list<{kind}>" if kind else None, f"{known.regtype}[]"))
            else:
                found.append((kind, known.regtype))
            continue
        kind_, category, type_name, element_kind, element_category = made[oid]
        if _is_text(element_kind, element_category):
            # psycopg knows no arrays of such types: they come as one text.
            found.append((None, type_name))
        else:
            found.append(("text" if _is_text(kind_, category) else None, type_name))
    return found


def _is_text(kind: str | None, category: str | None) -> bool:
    return kind == "e" or (kind == "b" and category == "S")
