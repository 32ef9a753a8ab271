"""What database drivers say, told as data errors: what broke, and how to mend it."""

import re
from typing import Any

import sqlalchemy as sa

from components.ingest.errors import BrokenOffError, DataError

_SQLSTATES = {
    "28P01": "password",
    "28000": "password",
    "3D000": "database",
    "42P01": "table",
    "42703": "column",
    "42601": "syntax",
    "42501": "denied",
    "25006": "readonly",
    "57P03": "unreachable",
    "53300": "unreachable",
    "57P01": "broken",
    "57P02": "broken",
    "08000": "broken",
    "08003": "broken",
    "08006": "broken",
    "40001": "taken back",
    "57014": "cancelled",
}
_MYSQL_CODES = {
    1045: "password",
    1044: "denied",
    1698: "password",
    1049: "database",
    1146: "table",
    1054: "column",
    1064: "syntax",
    1142: "denied",
    1143: "denied",
    1060: "duplicate",
    1792: "readonly",
    2002: "unreachable",
    2003: "unreachable",
    1040: "unreachable",
    1203: "unreachable",
    2006: "broken",
    2013: "broken",
    2055: "broken",
    1053: "broken",
    1927: "broken",
    4031: "broken",
    1317: "cancelled",
    1969: "cancelled",
    3024: "cancelled",
}
# SQLite has no codes of use, and libpq gives none for a connection that fails.
_TEXTS = {
    r"password authentication failed|no password supplied|role .* does not exist": "password",
    r"database .* does not exist": "database",
    r"could not translate host|name or service not known|failed to resolve host|nodename": "host",
    r"no such table|table with name .* does not exist": "table",
    r"no such column|referenced column .* not found": "column",
    r"syntax error|incomplete input|unrecognized token|one statement at a time": "syntax",
    r"file is not a database|not a valid duckdb database": "format",
    r"database is locked|could not set lock": "locked",
    r"readonly database|read-only mode": "readonly",
    r"refused|timeout|timed out|starting up|connection failed|no such file|unreachable": (
        "unreachable"
    ),
    r"server closed the connection|connection (is|was) (lost|closed)|consuming input failed"
    r"|could not (receive|send) data|reset by peer|broken pipe|closed unexpectedly|EOF detected": (
        "broken"
    ),
}
_RULES = {
    "password": (
        "the database refuses the user or the password",
        "Check user and password in the URL; mask special characters such as @ as %40",
    ),
    "database": ("the server has no such database", "Check the last part of the URL"),
    "host": ("the host's name is not known", "Check the URL's host, and that DNS works here"),
    "table": (
        "the query names a table that is not there",
        "Check the table's name and schema, and that the URL names the right database",
    ),
    "column": (
        "the query names a column that is not there",
        "Check the column's name in the query",
    ),
    "syntax": ("the database cannot parse the query", "Try the query in the database's own client"),
    "denied": ("the user may not read this", "Grant the user SELECT on the tables in the query"),
    "readonly": ("the query writes", "A source's query only reads: use a SELECT"),
    "duplicate": (
        "two columns of the result have one name",
        "Give each column its own name with AS",
    ),
    "format": ("the file is no such database", "Check the path and the dialect in the URL"),
    "locked": (
        "another process keeps the database locked",
        "Let the other writer finish, or use WAL mode",
    ),
    "unreachable": (
        "no database answers there",
        "Check that the server runs, and host, port and firewall",
    ),
    "broken": (
        "the connection broke while rows were read",
        "Check the server's log; a restart, a crash or a killed session does this",
    ),
    "taken back": (
        "the server took back what was being read",
        "A standby does this that follows its primary: raise max_standby_streaming_delay there, or "
        "read from the primary",
    ),
    "cancelled": (
        "the server cancelled the query",
        "Raise the user's time limit for a statement, or cut the source into more partitions",
    ),
    "other": ("the database refuses the query", "Try the query in the database's own client"),
}
RETRIED = ("unreachable", "host", "broken", "taken back")
"""Kinds of trouble that may pass."""


def kind_of(error: BaseException) -> str:
    """The kind of trouble that a driver's error tells of, such as ``'table'`` or ``'other'``."""
    driver = driver_error(error)
    state = getattr(driver, "sqlstate", None)
    if state in _SQLSTATES:
        return _SQLSTATES[state]
    code = driver.args[0] if driver.args else None
    if isinstance(code, int) and code in _MYSQL_CODES:
        if code == 2003 and _match(r"name or service|getaddrinfo|nodename", str(driver)):
            return "host"
        return _MYSQL_CODES[code]
    text = str(driver)
    for pattern, kind in _TEXTS.items():
        if _match(pattern, text):
            return kind
    return "other"


def driver_error(error: BaseException) -> BaseException:
    """The driver's own error inside SQLAlchemy's."""
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    return error if original is None else original


def explain(
    name: str, url: sa.engine.URL, error: BaseException, tried: str = "", tables: str = ""
) -> DataError:
    """Tells a driver's error without the password.

    Args:
      name: the source's name.
      url: the database's URL.
      error: SQLAlchemy's or the driver's error.
      tried: how connecting was tried, such as ``'4 attempts in 3.5 s'``; nothing once connected.
      tables: a sentence about the tables there are.
    """
    kind = kind_of(error)
    if kind == "unreachable" and not tried:
        kind = "broken"
    rule, mend = _RULES[kind]
    said = message_of(error)
    if url.password:
        for secret in {str(url.password), sa.engine.url.quote(str(url.password))}:
            said = said.replace(secret, "***")
    rule = f"{rule} ({tried}; {said})" if tried else f"{rule} ({said})"
    told = BrokenOffError if kind in RETRIED else DataError
    return told(name, f"database {masked(url)}", rule, f"{mend}. {tables}" if tables else mend)


def message_of(error: BaseException) -> str:
    """The driver's message on one line, with its hint where it gives one."""
    driver: Any = driver_error(error)
    hint = getattr(getattr(driver, "diag", None), "message_hint", None)
    text = driver.args[-1] if driver.args and isinstance(driver.args[-1], str) else str(driver)
    lines = [line.strip() for line in f"{text}\n{hint or ''}".splitlines()]
    # PostgreSQL quotes the statement and points a caret at the place: one line says enough.
    kept = [line for line in lines if line and not re.match(r"^(LINE \d|\^)", line)]
    joined = "; ".join(dict.fromkeys(kept))
    return joined if len(joined) <= 400 else f"{joined[:399]}…"


def masked(url: sa.engine.URL) -> str:
    """The URL as text, with ``***`` for secrets, whether they stand before the host or after it."""
    query = {
        key: "***" if re.search(r"passw|pwd|secret|token", key, re.IGNORECASE) else value
        for key, value in url.query.items()
    }
    return url.set(query=query).render_as_string(hide_password=True)


def _match(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None
