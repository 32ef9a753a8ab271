"""InfluxDB's HTTP API, and what goes wrong there told as data errors, without the password.

https://docs.influxdata.com/influxdb/v1/tools/api/#query-http-endpoint
"""

import contextlib
import io
import urllib.parse
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import requests
import urllib3

from components.ingest.address import read_url
from components.ingest.errors import BrokenOffError, DataError

if TYPE_CHECKING:
    from components.ingest.influx.source import InfluxSource

_CONNECT_SECONDS, _READ_SECONDS = 10, 120
_ATTEMPTS = 3
_CHUNK = 1 << 18
_RULES = {
    401: ("the server refuses the user or the password", "Check user and password in the URL"),
    403: ("the user may not read this", "Grant the user READ on the database"),
    404: ("the server has no such database", "Check database"),
}


def place(name: str, source: "InfluxSource") -> str:
    """URL, database and measurement, without user and password.

    Raises:
      DataError: if there is no URL, or it is none of HTTP.
    """
    url = _url(name, source)
    host = url.hostname if url.port is None else f"{url.hostname}:{url.port}"
    return f"{url.scheme}://{host}{url.path}, {source.database}, {source.measurement}"


@contextlib.contextmanager
def told(name: str, source: "InfluxSource") -> Iterator[None]:
    """Turns what HTTP's libraries raise in the block into BrokenOffErrors."""
    problem = None
    try:
        yield
    except requests.RequestException as error:
        broken = isinstance(error, requests.exceptions.ChunkedEncodingError)
        rule = "the connection broke while rows were read" if broken else "no server answers there"
        mend = "Check that the server runs, and host, port and firewall"
        problem = BrokenOffError(
            name, place(name, source), f"{rule} ({type(error).__name__})", mend
        )
    if problem is not None:
        raise problem


def ask(name: str, source: "InfluxSource", query: str) -> list[dict[str, Any]]:
    """The series that a short query gives, as the JSON API writes them.

    Raises:
      DataError: if the server cannot be reached or refuses the query.
    """
    with told(name, source), _answer(name, source, query, {}, "application/json") as answer:
        result = answer.json()["results"][0]
    if "error" in result:
        raise _refused(name, source, result["error"])
    return result.get("series", [])


@contextlib.contextmanager
def csv(name: str, source: "InfluxSource", query: str) -> Iterator[IO[bytes]]:
    """A query's answer as a stream of CSV: a header, then lines as the server finds them.

    Raises:
      DataError: if the server cannot be reached, refuses the query, or breaks off in the block.
    """
    how = {"epoch": "u", "chunked": "true", "chunk_size": str(source.batch_rows)}
    with told(name, source), _answer(name, source, query, how, "application/csv") as answer:
        yield io.BufferedReader(_Stream(answer.iter_content(_CHUNK)), _CHUNK)


class _Stream(io.RawIOBase):
    """Chunks as a file. urllib3's own seems to end where a gzip block yields nothing."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


@contextlib.contextmanager
def _answer(
    name: str, source: "InfluxSource", query: str, how: dict[str, str], kind: str
) -> Iterator[requests.Response]:
    url = _url(name, source)
    retry = urllib3.Retry(connect=_ATTEMPTS, read=0, redirect=0, backoff_factor=0.5)
    with requests.Session() as session:
        session.mount(f"{url.scheme}://", requests.adapters.HTTPAdapter(max_retries=retry))
        answer = session.post(
            url._replace(path=f"{url.path.rstrip('/')}/query").geturl(),
            data={"q": query, "db": source.database, **how},
            headers={"Accept": kind},
            stream=True,
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
        )
        if answer.status_code != 200:
            raise _refused(name, source, answer.text.strip()[:300], answer.status_code)
        yield answer


def _refused(name: str, source: "InfluxSource", said: str, status: int = 400) -> DataError:
    rule, mend = _RULES.get(status, ("the server refuses the query", "Check the source's where"))
    if "database not found" in said:
        rule, mend = _RULES[404]
    return DataError(name, place(name, source), f"{rule} ({said})", mend)


def _url(name: str, source: "InfluxSource") -> urllib.parse.SplitResult:
    return read_url(name, source, _split, "a URL of HTTP", "http://user:password@host:8086")


def _split(text: str) -> urllib.parse.SplitResult | None:
    with contextlib.suppress(ValueError):
        url = urllib.parse.urlsplit(text)
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return url
    return None
