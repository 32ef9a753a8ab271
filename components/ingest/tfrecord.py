"""TFRecord files: records of bytes, framed with checksums, gzip compressed, whole or absent.

Framing and compression run in C (ISA-L's deflate is four times as fast as zlib's at the same size);
TensorFlow is not imported. The same records are the same bytes. The format (a record is its length,
the length's checksum, the data, the data's checksum) is that of
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/record_writer.h

Paths are as ``paths.py`` takes them.
"""

import contextlib
import gzip
import itertools
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any

import google_crc32c
import numpy as np
import pyarrow as pa
import typing_extensions
from isal import igzip, isal_zlib

from components.ingest.byte_strings import RECORD, by_length, byte_strings, join, offsets_of
from components.ingest.paths import open_file
from components.ingest.room import writing
from components.ingest.whole_file import whole_file

_COMPRESSION_LEVEL = 1
_READ_CHUNK = 1 << 20
_DEFLATE_ERROR: Any = isal_zlib.error  # Its stub calls the class an instance.
_HEAD = struct.Struct("<QI")


class RecordWriter:
    """Writes one TFRecord file; a context manager.

    It appears whole or not at all; one without records is valid too.

    Attributes:
      path: where the file will stand; gzip compressed if the name ends in ``.gz``.
      rows: how many records have been written.
    """

    def __init__(self, path: str) -> None:
        self.path = str(path)
        self.rows = 0
        packed = self.path.endswith(".gz")
        self._gzip = isal_zlib.compressobj(_COMPRESSION_LEVEL, wbits=31) if packed else None
        self._whole = whole_file(self.path)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> typing_extensions.Self:
        self._file = self._whole.__enter__()
        return self

    def write_records(self, records: list[bytes] | pa.LargeBinaryArray) -> None:
        """Adds records."""
        if self._file is None:
            raise ValueError(f"{self.path} is not open: use it in a with statement")
        if isinstance(records, list):
            records = pa.array(records, RECORD)
        framed = _frame(records)
        self._write(self._file, self._gzip.compress(framed) if self._gzip else framed)
        self.rows += len(records)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        assert self._file is not None
        closing = contextlib.ExitStack()
        closing.push(self._whole)
        if kind is None and self._gzip:
            closing.callback(self._write, self._file, self._gzip.flush())
        self._file = None
        closing.__exit__(kind, error, trace)

    def _write(self, file: IO[bytes], data: Any) -> None:
        with writing(self.path):
            file.write(data)


def read_records(files: Iterable[str]) -> Iterator[bytes]:
    """Yields the records of TFRecord files, gzip compressed where the name ends in ``.gz``.

    Raises:
      ValueError: for a file that is cut short or damaged.
    """
    for path in files:
        with open_file(path, "rb") as raw:
            stream = igzip.IGzipFile(fileobj=raw) if path.endswith(".gz") else raw
            try:
                yield from _unframe(path, stream)
            except (EOFError, gzip.BadGzipFile, _DEFLATE_ERROR) as error:
                raise ValueError(f"{path} is damaged: {error}") from error


def _frame(records: pa.LargeBinaryArray) -> pa.Buffer:
    """Records as they stand in an uncompressed TFRecord file."""
    if not len(records):
        return pa.py_buffer(b"")
    offsets = offsets_of(records)
    data, places = records.buffers()[2].to_pybytes(), offsets.tolist()
    sums = _masked(data[at:end] for at, end in itertools.pairwise(places))
    heads = by_length(np.diff(offsets), _head)
    feet = byte_strings(np.arange(0, 4 * len(sums) + 1, 4), pa.py_buffer(sums))
    return join([heads, records, feet], len(records)).buffers()[2]


def _head(length: int) -> bytes:
    packed = length.to_bytes(8, "little")
    return packed + _masked([packed]).tobytes()


def _masked(parts: Iterable[bytes]) -> np.ndarray:
    """TFRecord's masked CRC-32C of each part, uint32[n]."""
    crc = np.fromiter(map(google_crc32c.value, parts), np.uint32)
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)


def _unframe(path: str, stream: Any) -> Iterator[bytes]:
    """Records of a file: each one's length tells where the next begins, so this must walk."""
    rest = b""
    while chunk := stream.read(_READ_CHUNK):
        data = rest + chunk
        at, end, records, sums = 0, len(data), [], []
        while at + 12 <= end:
            length, sum_of_length = _HEAD.unpack_from(data, at)
            after = at + 16 + length
            if after > end:
                if _masked([data[at : at + 8]])[0] != sum_of_length:
                    raise ValueError(f"{path} is damaged: a length's checksum is wrong")
                break
            records.append(data[at + 12 : after - 4])
            sums.append(data[after - 4 : after])
            at = after
        stored = np.frombuffer(b"".join(sums), "<u4")
        wrong = np.flatnonzero(stored != _masked(records))
        if len(wrong):
            raise ValueError(f"{path} is damaged: a record's checksum is wrong")
        yield from records
        rest = data[at:]
    if rest:
        raise ValueError(f"{path} is cut short: its last record is not whole")
