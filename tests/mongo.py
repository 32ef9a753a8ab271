"""A stand-in for MongoDB, for tests: ``with MongoStandIn(documents) as m``.

Debian has no MongoDB. This speaks its wire protocol (OP_MSG) to the real driver, asks for a
password (SCRAM-SHA-256), and answers ``aggregate`` and ``getMore`` in batches of BSON. Of the
aggregation language it knows what the source asks: $match with comparisons within one type, $in,
$ne, $exists, $and and $nor; $project of paths with $ifNull; $limit, $bucketAuto, and $group of $sum
and $max.

https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md
"""

import base64
import contextlib
import hashlib
import hmac
import itertools
import secrets
import socketserver
import struct
import threading
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

USER = "plant"
_HEAD = struct.Struct("<iiii")
_OP_MSG = 2013
_ROUNDS = 4096
_CODEC: CodecOptions = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_MISSING = object()


class MongoStandIn:
    """A server with one database, ``plant``.

    Args:
      collections: by name the documents.

    Attributes:
      password: of the user ``plant``.
      collections: as given; tests may change them.
      commands: the names of the commands that were asked.
      break_after: after so many batches the connection is cut; None: never.
    """

    def __init__(self, collections: dict[str, list[dict[str, Any]]]) -> None:
        self.collections = collections
        self.password = f"secret{secrets.token_hex(6)}"
        self.commands: list[str] = []
        self.break_after: int | None = None
        self._cursors: dict[int, list[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        stand_in = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError, struct.error):
                    stand_in._serve(self.rfile, self.wfile)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Connection)
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Its URL, which holds the password."""
        where = f"127.0.0.1:{self.port}/plant?authSource=admin&directConnection=true"
        return f"mongodb://{USER}:{self.password}@{where}"

    def __enter__(self) -> "MongoStandIn":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, source: Any, sink: Any) -> None:
        login = _Login(self.password)
        while head := source.read(_HEAD.size):
            size, request, _, code = _HEAD.unpack(head)
            body = source.read(size - _HEAD.size)
            command = bson.decode(body[5:], _CODEC) if code == _OP_MSG else {"hello": 1}
            name = next(iter(command))
            self.commands.append(name)
            answer = self._answer(name, command, login)
            if answer is None:
                return
            told = bson.encode(answer)
            if code == _OP_MSG:
                told, reply = struct.pack("<ib", 0, 0) + told, _OP_MSG
            else:
                told, reply = struct.pack("<iqii", 8, 0, 0, 1) + told, 1
            sink.write(_HEAD.pack(_HEAD.size + len(told), 0, request, reply) + told)

    def _answer(self, name: str, command: dict[str, Any], login: "_Login") -> dict[str, Any] | None:
        if name in ("hello", "ismaster", "isMaster"):
            return {
                "ok": 1,
                "helloOk": True,
                "isWritablePrimary": True,
                "ismaster": True,
                "maxBsonObjectSize": 16 << 20,
                "maxMessageSizeBytes": 48_000_000,
                "maxWriteBatchSize": 100_000,
                "minWireVersion": 0,
                "maxWireVersion": 21,
                "saslSupportedMechs": ["SCRAM-SHA-256"],
            }
        if name in ("saslStart", "saslContinue"):
            return login.step(command)
        if name in ("endSessions", "killCursors", "ping"):
            return {"ok": 1}
        if not login.done:
            return {"ok": 0, "code": 13, "errmsg": f"command {name} requires authentication"}
        if name == "listCollections":
            found = [{"name": key, "type": "collection"} for key in self.collections]
            return {"ok": 1, "cursor": {"id": 0, "ns": "plant.$cmd", "firstBatch": found}}
        if name == "getMore":
            size = command.get("batchSize", 101)
            return self._batch("nextBatch", command["getMore"], command["collection"], size)
        assert name == "aggregate", name
        try:
            found = _aggregate(self.collections.get(command[name], []), command["pipeline"])
        except KeyError as error:
            said = f"Unrecognized pipeline stage name: {error}"
            return {"ok": 0, "code": 40324, "errmsg": said}
        cursor = next(self._ids)
        self._cursors[cursor] = found
        size = command["cursor"].get("batchSize", 101)
        return self._batch("firstBatch", cursor, command[name], size)

    def _batch(self, key: str, cursor: int, collection: str, size: int) -> dict[str, Any] | None:
        if self.break_after is not None:
            self.break_after -= 1
            if self.break_after < 0:
                return None
        batch, rest = self._cursors[cursor][:size], self._cursors[cursor][size:]
        self._cursors[cursor] = rest
        more = cursor if rest else 0
        return {"ok": 1, "cursor": {"id": more, "ns": f"plant.{collection}", key: batch}}


class _Login:
    """SCRAM-SHA-256 from the server's side: RFC 5802 and 7677."""

    def __init__(self, password: str) -> None:
        self.done = False
        self._password = password
        self._salt = secrets.token_bytes(28)

    def step(self, command: dict[str, Any]) -> dict[str, Any]:
        payload = bytes(command["payload"])
        if "saslStart" in command:
            self._bare = payload[3:]
            nonce = self._bare.split(b"r=")[1] + secrets.token_hex(8).encode()
            salt = base64.b64encode(self._salt)
            self._first = b"r=%b,s=%b,i=%d" % (nonce, salt, _ROUNDS)
            return {"ok": 1, "conversationId": 1, "done": False, "payload": self._first}
        final, _, proof = payload.rpartition(b",p=")
        salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), self._salt, _ROUNDS)
        client = _sign(salted, b"Client Key")
        message = b",".join((self._bare, self._first, final))
        signature = _sign(hashlib.sha256(client).digest(), message)
        wanted = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        if not hmac.compare_digest(base64.b64decode(proof), wanted):
            return {"ok": 0, "code": 18, "errmsg": "Authentication failed."}
        self.done = True
        told = base64.b64encode(_sign(_sign(salted, b"Server Key"), message))
        return {"ok": 1, "conversationId": 1, "done": True, "payload": b"v=" + told}


def _sign(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _aggregate(documents: list[dict[str, Any]], stages: list[dict[str, Any]]) -> list[Any]:
    known = {
        "$match": lambda found, what: [d for d in found if _matches(d, what)],
        "$limit": lambda found, what: found[:what],
        "$project": lambda found, what: [_project(d, what) for d in found],
        "$bucketAuto": _buckets,
        "$group": _group,
    }
    # As documents are stored: dates have milliseconds, and integers are no doubles.
    documents = [bson.decode(bson.encode(document), _CODEC) for document in documents]
    for stage in stages:
        ((name, what),) = stage.items()
        documents = known[name](documents, what)
    return documents


def _path(value: Any, parts: list[str]) -> Any:
    """What ``$a.b`` gives: arrays are walked into, and what lacks the path is left out."""
    if not parts:
        return value
    if isinstance(value, list):
        found = [_path(inner, parts) for inner in value]
        return [inner for inner in found if inner is not _MISSING]
    if not isinstance(value, dict) or parts[0] not in value:
        return _MISSING
    return _path(value[parts[0]], parts[1:])


def _project(document: dict[str, Any], what: dict[str, Any]) -> dict[str, Any]:
    projected = {}
    for name, expression in what.items():
        if expression == 0:
            continue
        default: Any = _MISSING
        if isinstance(expression, dict):
            expression, default = expression["$ifNull"]
        value = _path(document, expression[1:].split("."))
        value = default if value is None or value is _MISSING else value
        if value is not _MISSING:
            projected[name] = value
    return projected


def _matches(document: dict[str, Any], what: dict[str, Any]) -> bool:
    for name, condition in what.items():
        if name in ("$and", "$nor"):
            held = [_matches(document, inner) for inner in condition]
            if all(held) if name == "$and" else not any(held):
                continue
            return False
        value = _path(document, name.split("."))
        conditions = condition if isinstance(condition, dict) else {"$eq": condition}
        candidates = [*value, value] if isinstance(value, list) else [value]
        for operator, bound in conditions.items():
            if operator == "$exists":
                found = (value is not _MISSING) == bound
            elif operator == "$ne":
                found = not any(_compares("$eq", c, bound) for c in candidates)
            elif operator == "$in":
                found = any(_compares("$eq", c, b) for c in candidates for b in bound)
            else:
                found = any(_compares(operator, c, bound) for c in candidates)
            if not found:
                return False
    return True


def _compares(operator: str, value: Any, bound: Any) -> bool:
    if operator == "$eq" and bound is None:
        return value is None or value is _MISSING
    if _bracket(value) != _bracket(bound):
        return False
    return {
        "$eq": lambda: value == bound,
        "$gte": lambda: value >= bound,
        "$gt": lambda: value > bound,
        "$lt": lambda: value < bound,
        "$lte": lambda: value <= bound,
    }[operator]()


def _bracket(value: Any) -> str:
    """A comparison finds values of the bound's type alone; all numbers are one type."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if number else type(value).__name__


_ORDER = {"number": 1, "str": 2, "ObjectId": 7}


def _buckets(documents: list[dict[str, Any]], what: dict[str, Any]) -> list[dict[str, Any]]:
    keys = [_path(document, what["groupBy"][1:].split(".")) for document in documents]
    keys.sort(key=lambda key: (_ORDER[_bracket(key)], key))
    size = max(1, -(-len(keys) // what["buckets"]))
    starts = list(range(0, len(keys), size))
    return [
        {"_id": {"min": keys[at], "max": keys[min(at + size, len(keys) - 1)]}, "count": 1}
        for at in starts
    ]


def _group(documents: list[dict[str, Any]], what: dict[str, Any]) -> list[dict[str, Any]]:
    assert what["_id"] is None
    if not documents:
        return []
    row: dict[str, Any] = {"_id": None}
    for name, ((operator, of),) in ((n, w.items()) for n, w in what.items() if n != "_id"):
        if operator == "$sum":
            row[name] = of * len(documents)
            continue
        assert operator == "$max", operator
        found = [_path(document, of[1:].split(".")) for document in documents]
        row[name] = max((v for v in found if v is not _MISSING and v is not None), default=None)
    return [row]
