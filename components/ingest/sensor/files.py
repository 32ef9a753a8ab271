"""The files of a sensor source: finding them, telling their format, cutting them into parts."""

import dataclasses
import glob
import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow_hotfix  # noqa: F401 - Arrow 10 runs code that a file brings (CVE-2023-47248)

from components.ingest.errors import DataError
from components.ingest.paths import is_remote
from components.ingest.sensor import stores
from components.ingest.sensor.compacted import superseded
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.stores import Stored

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSED = ".gz"

PART_BYTES = 64 << 20
"""A larger file is cut into parts of about this size."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A stretch of a file.

    Attributes:
      path: the file.
      index: the file's place among the source's files: later ones arrived later.
      format: jsonl, csv or parquet.
      begin: first byte of a text file, or first row group of a Parquet file.
      end: the byte or row group after the last; None reads to the file's end.
      line: the number of the first line (text) or row (Parquet), counted from 1.
      bytes: its size on disk, roughly.
      seen: the file's state when the run looked; None asks for no care.
    """

    path: str
    index: int
    format: str
    begin: int = 0
    end: int | None = None
    line: int = 1
    bytes: int = 0
    seen: Stored | None = None

    @property
    def compressed(self) -> bool:
        """Whether a text file is packed."""
        return self.format != "parquet" and self.path.endswith(COMPRESSED)


def find_files(name: str, source: SensorSource) -> list[str]:
    """The source's files, sorted by path, each once, without those that were compacted.

    Args:
      name: the source's name, for messages.
      source: its settings; ``**`` crosses folders, hidden files are left out.

    Raises:
      DataError: if a glob matches no file.
    """
    return [file.path for file in _found(name, source)]


def file_format(name: str, source: SensorSource, path: str) -> str:
    """The format of a file: as in the settings or told by its ending.

    Raises:
      DataError: if the ending tells nothing.
    """
    if source.format != "auto":
        return source.format
    kind = FORMATS.get(Path(path.removesuffix(COMPRESSED)).suffix.lower())
    if kind is None:
        raise DataError(
            name,
            path,
            f"its ending tells no format: expected one of {', '.join(FORMATS)}",
            f"Narrow sources.{name}.path, or say format: jsonl, csv or parquet.",
        )
    return kind


def whole_files(name: str, source: SensorSource) -> list[Part]:
    """Every file of the source as one part.

    Raises:
      DataError: if no file matches, or one cannot be read or has no known format.
    """
    parts = []
    for index, file in enumerate(_found(name, source)):
        kind = file_format(name, source, file.path)
        if not is_remote(file.path):
            try:
                file = dataclasses.replace(file, ending=stores.ending(file.path, file.size))
            except OSError as error:
                raise unreadable(name, file.path, error) from None
        parts.append(Part(file.path, index, kind, bytes=file.size, seen=file))
    return parts


def cut(name: str, whole: Part, part_bytes: int = PART_BYTES) -> list[Part]:
    """Cuts a large file into parts that hold whole lines or whole row groups.

    Lines are counted on the way, so that each part knows the number of its first one. A compressed
    text file stays whole, and one on an object store: counting its lines would fetch all of it.

    Raises:
      DataError: if a Parquet file can't be opened.
    """
    if whole.format == "parquet":
        return _cut_parquet(name, whole, part_bytes)
    if whole.compressed or is_remote(whole.path) or whole.bytes <= part_bytes:
        return [whole]
    parts = []
    begin, line, count = 0, 1, max(1, round(whole.bytes / part_bytes))
    with Path(whole.path).open("rb") as stream:
        for number in range(1, count + 1):
            goal = whole.bytes if number == count else whole.bytes * number // count
            lines = 0
            while (missing := goal - stream.tell()) > 0:
                piece = stream.read(min(missing, 1 << 22))
                if not piece:
                    break
                lines += piece.count(b"\n")
            lines += stream.readline().endswith(b"\n")
            end = stream.tell()
            if end > begin:
                last = number == count
                parts.append(
                    dataclasses.replace(
                        whole,
                        begin=begin,
                        end=None if last else end,
                        line=line,
                        bytes=end - begin,
                    )
                )
            begin, line = end, line + lines
    return parts


def open_parquet(name: str, path: str) -> pq.ParquetFile:
    """Opens a Parquet file.

    Raises:
      DataError: if it is none, or cut off, or names code to run.
    """
    try:
        return pq.ParquetFile(stores.open_file(path) if is_remote(path) else path)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(name, path, error) from None
    except RuntimeError as error:
        if "py_extension_type" not in str(error):
            raise
        raise DataError(
            name,
            path,
            "has a column whose type is pickled Python code, which is not run",
            "Find out who wrote the file, and write it again with plain column types.",
        ) from None


def unreadable(name: str, path: str, error: Exception) -> DataError:
    """The error for a file that breaks off or is not what its name says."""
    reason = str(error).strip().rstrip(".").split("\n")[0]
    return DataError(
        name, path, f"cannot be read: {reason}", "Bring the whole file again or move it away."
    )


def watermark(source: SensorSource, name: str = "sensor") -> str:
    """A fingerprint of the files' names, sizes and times of change: 16 hexadecimal digits.

    Raises:
      DataError: if a glob matches no file.
    """
    digest = hashlib.sha256()
    for file in _found(name, source):
        digest.update(f"{file.path}\0{file.size}\0{file.changed}\n".encode())
    return digest.hexdigest()[:16]


def _found(name: str, source: SensorSource) -> list[Stored]:
    found: dict[str, Stored] = {}
    for pattern in source.paths:
        matches = stores.find(name, pattern)
        if not matches:
            nearest = "" if is_remote(pattern) else f"{_nearest_folder(pattern)} "
            raise DataError(
                name,
                "path",
                "no file matches",
                f"{nearest}Mend sources.{name}.path or put the files there.",
                pattern,
            )
        found |= {file.path: file for file in matches}
    gone = superseded(found)
    return [found[path] for path in sorted(found) if path not in gone]


def _cut_parquet(name: str, whole: Part, part_bytes: int) -> list[Part]:
    with open_parquet(name, whole.path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    parts: list[Part] = []
    begin = size = rows = 0
    line = 1
    for index, group in enumerate(groups):
        size += group.total_byte_size
        rows += group.num_rows
        if size >= part_bytes or index == len(groups) - 1:
            parts.append(
                dataclasses.replace(whole, begin=begin, end=index + 1, line=line, bytes=size)
            )
            begin, line, size, rows = index + 1, line + rows, 0, 0
    return parts or [whole]


def _nearest_folder(pattern: str) -> str:
    """Where a glob's path breaks off, and what lies there."""
    fixed = Path(pattern)
    folder = Path(fixed.anchor) if fixed.is_absolute() else Path()
    for piece in fixed.parts[1 if fixed.is_absolute() else 0 :]:
        if glob.has_magic(piece) or not (folder / piece).is_dir():
            break
        folder = folder / piece
    held = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    shown = ", ".join(held[:5]) + (", …" if len(held) > 5 else "")
    return (
        f"The nearest folder that exists is {folder.resolve()}, which holds {shown or 'nothing'}."
    )
