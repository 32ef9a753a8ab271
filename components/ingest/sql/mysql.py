"""MySQL's and MariaDB's column types: how PyMySQL is to load them, and what kinds they are."""

from typing import Any

import pymysql.converters
from pymysql.constants import FIELD_TYPE

_BINARY_CHARSET = 63
_KINDS = {
    **dict.fromkeys(
        (
            FIELD_TYPE.TINY,
            FIELD_TYPE.SHORT,
            FIELD_TYPE.INT24,
            FIELD_TYPE.LONG,
            FIELD_TYPE.LONGLONG,
            FIELD_TYPE.YEAR,
        ),
        "int",
    ),
    **dict.fromkeys(
        (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE, FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), "float"
    ),
    **dict.fromkeys(
        (FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATETIME, FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE), "time"
    ),
    FIELD_TYPE.TIME: "span",
    FIELD_TYPE.BIT: "int",
    FIELD_TYPE.JSON: "text",
}
_STRINGS = (
    FIELD_TYPE.VARCHAR,
    FIELD_TYPE.ENUM,
    FIELD_TYPE.SET,
    FIELD_TYPE.TINY_BLOB,
    FIELD_TYPE.MEDIUM_BLOB,
    FIELD_TYPE.LONG_BLOB,
    FIELD_TYPE.BLOB,
    FIELD_TYPE.VAR_STRING,
    FIELD_TYPE.STRING,
)


def decoders() -> dict[Any, Any]:
    """PyMySQL's conversions, but times stay text (Arrow reads them) and decimals become floats."""
    conversions = dict(pymysql.converters.conversions)
    for code in (
        FIELD_TYPE.TIMESTAMP,
        FIELD_TYPE.DATETIME,
        FIELD_TYPE.DATE,
        FIELD_TYPE.NEWDATE,
    ):
        conversions.pop(code, None)
    for code in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        conversions[code] = float
    conversions[FIELD_TYPE.BIT] = _bits
    return conversions


def kinds(cursor: Any) -> list[tuple[str | None, str]]:
    """Kinds of a PyMySQL cursor's columns.

    Returns:
      By column the kind, or None where there is none for it; and the type's own name.
    """
    names = {code: name for name, code in vars(FIELD_TYPE).items() if isinstance(code, int)}
    found: list[tuple[str | None, str]] = []
    for field in cursor._result.fields:
        kind = _KINDS.get(field.type_code)
        if field.type_code in _STRINGS:
            kind = "bytes" if field.charsetnr == _BINARY_CHARSET else "text"
        if field.type_code == FIELD_TYPE.NULL:
            kind = "null"
        found.append((kind, names.get(field.type_code, str(field.type_code))))
    return found


def _bits(value: bytes) -> int:
    return int.from_bytes(value, "big")
