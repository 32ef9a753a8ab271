"""Connecting to MongoDB, and what its driver says told as data errors, without the password."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pymongo
import pymongo.errors
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.uri_parser import parse_uri

from components.ingest.address import read_url
from components.ingest.errors import BrokenOffError, DataError

if TYPE_CHECKING:
    from components.ingest.mongo.source import MongoSource

CODEC: CodecOptions = CodecOptions(
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_WAIT_MS = 10_000
_RULES = {
    18: ("the server refuses the user or the password", "Check user, password and authSource"),
    13: ("the user may not read this", "Grant the user the role read on the database"),
    8000: ("the server refuses the user or the password", "Check user and password in the URL"),
}


def place(name: str, source: "MongoSource") -> str:
    """Hosts, database and collection, without user and password.

    Raises:
      DataError: if there is no URL, or it cannot be read.
    """
    _, parsed = _url(name, source)
    hosts = ",".join(
        host if port is None else f"{host}:{port}" for host, port in parsed["nodelist"]
    )
    return f"mongodb://{hosts}/{_database(name, source, parsed)}, {source.collection}"


@contextlib.contextmanager
def collection(name: str, source: "MongoSource") -> "Iterator[pymongo.collection.Collection]":
    """Opens the source's collection.

    Args:
      name: the source's name, for messages.
      source: its settings.

    Raises:
      DataError: if the server cannot be reached, or refuses what is asked in the block.
    """
    url, parsed = _url(name, source)
    options: dict[str, Any] = {
        option: _WAIT_MS
        for option in ("serverSelectionTimeoutMS", "connectTimeoutMS")
        if option.lower() not in {key.lower() for key in parsed["options"]}
    }
    problem = None
    try:
        with pymongo.MongoClient(url, **options) as client:
            database = client[_database(name, source, parsed)]
            yield database.get_collection(source.collection, codec_options=CODEC)
    except pymongo.errors.PyMongoError as error:
        problem = _explain(name, source, error, parsed.get("password"))
    if problem is not None:
        raise problem


def _url(name: str, source: "MongoSource") -> tuple[str, dict[str, Any]]:
    example = "mongodb://user:password@host:27017/database"
    return read_url(name, source, _parsed, "a MongoDB URL", example)


def _parsed(text: str) -> tuple[str, dict[str, Any]] | None:
    with contextlib.suppress(pymongo.errors.PyMongoError, ValueError):
        return text, parse_uri(text, warn=False)
    return None


def _database(name: str, source: "MongoSource", parsed: dict[str, Any]) -> str:
    found = source.database or parsed["database"]
    if found is None:
        raise DataError(
            name, "database", "neither the source nor its URL names one", "Set database"
        )
    return found


def _explain(
    name: str, source: "MongoSource", error: pymongo.errors.PyMongoError, password: str | None
) -> DataError:
    said = str(error).split(" (configured timeouts")[0].split(", full error:")[0]
    if password:
        said = said.replace(password, "***")
    rule, mend = "the server refuses the query", "Try filter and pipeline in mongosh"
    kind = BrokenOffError if isinstance(error, pymongo.errors.ConnectionFailure) else DataError
    if isinstance(error, pymongo.errors.OperationFailure):
        rule, mend = _RULES.get(error.code or 0, (rule, mend))
    elif isinstance(error, pymongo.errors.ServerSelectionTimeoutError):
        rule, mend = "no server answers there", "Check that it runs, and host, port and firewall"
    elif isinstance(error, pymongo.errors.ConnectionFailure):
        rule, mend = "the connection broke", "Check the server's log; a restart does this"
    return kind(name, place(name, source), f"{rule} ({said})", mend)
