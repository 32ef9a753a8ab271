"""Where sensor files lie: this machine's folders, or object stores (``s3://``, ``gs://``).

Object stores are opened by Arrow's own file systems: no Python stands between the store and the
parser, and of a Parquet file only the columns and row groups that are read are fetched. Credentials
are those of the store's own SDK (AWS_PROFILE, AWS_ACCESS_KEY_ID …, a pod's role); another endpoint
than Amazon's, such as MinIO's, is named by AWS_ENDPOINT_URL.
"""

import dataclasses
import functools
import glob
import io
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.fs

from components.ingest.errors import DataError
from components.ingest.paths import is_remote

_BUFFER = 1 << 20
_ENDING = 64
_CONNECT_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Stored:
    """A file and its state.

    Attributes:
      path: its path or URL.
      size: bytes.
      changed: when it was last changed, nanoseconds since the epoch; object stores tell seconds.
      inode: which file of its disk it is; 0 on object stores.
      ending: the last bytes of a local file, if somebody looked.
    """

    path: str
    size: int
    changed: int
    inode: int = 0
    ending: bytes = dataclasses.field(default=b"", compare=False)


def find(name: str, pattern: str) -> list[Stored]:
    """The files that a glob matches; ``**`` crosses folders, hidden files are left out.

    Args:
      name: the source's name, for messages.
      pattern: a path, or a URL whose first part (the bucket) holds no wildcard.

    Raises:
      DataError: if the store can't be read.
    """
    if not is_remote(pattern):
        return [
            _local(path)
            for path in glob.glob(pattern, recursive=True)  # noqa: PTH207 - paths are text here
            if Path(path).is_file()
        ]
    wanted = _expression(pattern)
    fixed = re.split(r"[*?\[]", pattern)[0]
    folder = pattern if fixed == pattern else fixed.rpartition("/")[0]
    try:
        return [found for found in _listed(name, folder) if wanted.fullmatch(found.path)]
    except OSError as error:
        raise DataError(
            name,
            "path",
            f"the store does not answer, or refuses ({_said(error)})",
            "Check the bucket, the credentials in the environment, and AWS_ENDPOINT_URL",
            pattern,
        ) from None


def stat(path: str) -> Stored:
    """A file's state.

    Raises:
      OSError: if it is not there, or its store does not answer.
    """
    if not is_remote(path):
        return _local(path)
    system, scheme = _system(path)
    return _stored(scheme, system.get_file_info(path.partition("://")[2]))


def open_file(path: str) -> IO[bytes]:
    """Opens a file for reading anywhere in it.

    Raises:
      OSError: if it can't be read.
    """
    if not is_remote(path):
        return Path(path).open("rb")
    system, _ = _system(path)
    stream = system.open_input_file(path.partition("://")[2])
    return io.BufferedReader(stream, _BUFFER)


def ending(path: str, size: int) -> bytes:
    """The last bytes of a local file as it was when it had this size."""
    with Path(path).open("rb") as file:
        file.seek(max(0, size - _ENDING))
        return file.read(min(size, _ENDING))


def _local(path: str) -> Stored:
    status = Path(path).stat()
    return Stored(path, status.st_size, status.st_mtime_ns, status.st_ino)


def _listed(name: str, folder: str) -> Iterator[Stored]:
    try:
        system, scheme = _system(folder)
    except pa.ArrowInvalid:
        raise DataError(
            name,
            "path",
            "no store of this kind is known: expected s3:// or gs://",
            "Bring the files into one of these, or mount them as a folder",
            folder,
        ) from None
    place = folder.partition("://")[2]
    whole = system.get_file_info(place)
    if whole.is_file:
        yield _stored(scheme, whole)
        return
    below = pyarrow.fs.FileSelector(place, recursive=True, allow_not_found=True)
    for info in system.get_file_info(below):
        if info.is_file:
            yield _stored(scheme, info)


def _stored(scheme: str, info: pyarrow.fs.FileInfo) -> Stored:
    if not info.is_file:
        raise FileNotFoundError(f"no such file: {scheme}://{info.path}")
    return Stored(f"{scheme}://{info.path}", info.size, info.mtime_ns)


def _system(url: str) -> tuple[pyarrow.fs.FileSystem, str]:
    parts = urllib.parse.urlsplit(url)
    return _of_bucket(parts.scheme, parts.netloc, os.environ.get("AWS_ENDPOINT_URL")), parts.scheme


@functools.cache
def _of_bucket(scheme: str, bucket: str, endpoint: str | None) -> pyarrow.fs.FileSystem:
    if scheme == "s3" and endpoint:
        place = urllib.parse.urlsplit(endpoint)
        return pyarrow.fs.S3FileSystem(
            scheme=place.scheme,
            endpoint_override=place.netloc,
            region=os.environ.get("AWS_REGION", "us-east-1"),
            connect_timeout=_CONNECT_SECONDS,
        )
    # Arrow asks Amazon for the bucket's region.
    return pyarrow.fs.FileSystem.from_uri(f"{scheme}://{bucket}")[0]


def _expression(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: but for ``**/`` a wildcard keeps to a folder."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern)
    known = {"**/": r"(?:[^/.][^/]*/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    text = "".join(
        known.get(piece) or (piece.replace("[!", "[^") if piece[:1] == "[" else re.escape(piece))
        for piece in pieces
    )
    return re.compile(rf"(?!.*/\.){text}")


def _said(error: OSError) -> str:
    return " ".join(str(error).split())[:300]
