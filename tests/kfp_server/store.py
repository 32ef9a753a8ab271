"""What the server holds, as the API's JSON: pipelines, experiments, runs and recurring runs."""

import datetime
import itertools
import json
import threading
import uuid
from typing import Any

from aiohttp import web

Row = dict[str, Any]
NEVER = "1970-01-01T00:00:00Z"


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def refuse(status: int, message: str) -> web.HTTPException:
    """An error as grpc-gateway writes it."""
    body = json.dumps({"error": message, "code": 3, "message": message, "details": []})
    exception = {400: web.HTTPBadRequest, 404: web.HTTPNotFound, 409: web.HTTPConflict}[status]
    return exception(text=body, content_type="application/json")


class Store:
    """One table a kind; rows are read by tests too, which run in another thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pipelines: dict[str, Row] = {}
        self.versions: dict[str, Row] = {}
        self.experiments: dict[str, Row] = {}
        self.runs: dict[str, Row] = {}
        self.recurring: dict[str, Row] = {}
        self._numbers = itertools.count(1)

    def add(self, table: dict[str, Row], key: str, row: Row) -> Row:
        row = row | {key: str(uuid.UUID(int=next(self._numbers))), "created_at": now()}
        with self.lock:
            table[row[key]] = row
        return row

    def get(self, table: dict[str, Row], key: str) -> Row:
        if key not in table:
            raise refuse(404, f"ResourceNotFoundError: {key} not found.")
        return table[key]


def page(rows: list[Row], query: Any, key: str) -> Row:
    """A page of rows that the request's filter lets through.

    Filters are those of filter.proto: predicates that all must hold.
    """
    if query.get("filter"):
        for predicate in json.loads(query["filter"])["predicates"]:
            rows = [row for row in rows if _holds(predicate, row)]
    begin, size = int(query.get("page_token") or 0), int(query.get("page_size") or 20)
    shown = rows[begin : begin + size]
    answer: Row = {"total_size": len(rows)}
    if shown:
        answer[key] = shown
    if begin + size < len(rows):
        answer["next_page_token"] = str(begin + size)
    return answer


def _holds(predicate: Row, row: Row) -> bool:
    if predicate["key"] != "display_name":
        raise refuse(400, f"no field {predicate['key']}")
    value = row["display_name"]
    if predicate["operation"] in ("EQUALS", 1):
        return value == predicate["stringValue"]
    if predicate["operation"] in ("IN", 8):
        return value in predicate["stringValues"]["values"]
    raise refuse(400, f"operation {predicate['operation']}")
