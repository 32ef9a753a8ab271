"""Files that others were compacted into: which still count.

A compacted file names in itself what it stands for. From the moment at which it has its name those
no longer count, though they stay for a while: who reads them goes on, who looks anew finds each
reading once.
"""

import base64
import json
import re
import uuid
import zlib
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.paths import is_remote
from components.ingest.sensor import stores

_KEY = b"compacted_from"
_NAME = re.compile(r"(part-.+)-compacted-[0-9a-f]{8}\.parquet")
_ENDING = ".parquet"


def compacted_name(last: str) -> str:
    """A name for a compacted file: it sorts where the last of what it stands for did."""
    told = _NAME.fullmatch(last)
    begin = told[1] if told else last.removesuffix(_ENDING)
    return f"{begin}-compacted-{uuid.uuid4().hex[:8]}{_ENDING}"


def naming(schema: pa.Schema, names: list[str]) -> pa.Schema:
    """A compacted file's schema, which names the files that it stands for."""
    packed = zlib.compress(json.dumps(names).encode())
    return schema.with_metadata({_KEY: base64.b64encode(packed)})


def superseded(paths: Iterable[str]) -> set[str]:
    """Which files no longer count, because one of the others stands for them.

    Only a compacted file that older ones lie beside is opened.

    Args:
      paths: paths or URLs.
    """
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        by_folder.setdefault(folder, []).append(name)
    found: set[str] = set()
    for folder, names in by_folder.items():
        first, there = min(names), set(names)
        for name in names:
            told = _NAME.fullmatch(name)
            if told and (first < told[1] or f"{told[1]}{_ENDING}" in there):
                old = there.intersection(stands_for(f"{folder}/{name}"))
                found.update(f"{folder}/{gone}" for gone in old)
    return found


def stands_for(path: str) -> list[str]:
    """The names of the files that a compacted one stands for; none if it isn't such a file."""
    try:
        schema = pq.read_schema(stores.open_file(path) if is_remote(path) else path)
    except (OSError, pa.ArrowInvalid):
        return []  # Whoever reads it tells what is wrong.
    packed = (schema.metadata or {}).get(_KEY)
    return json.loads(zlib.decompress(base64.b64decode(packed))) if packed else []
