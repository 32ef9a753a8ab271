"""Paths that are local or, with a scheme such as ``gs://``, whatever TFX's file systems open.

Nothing is imported here that an environment to submit from lacks.
"""

import io
import shutil
from pathlib import Path
from typing import IO, Any

MOST_OPEN = 512
"""So many files may be written at once: systems allow a process about a thousand."""

_BUFFER = 1 << 20


def is_remote(path: str) -> bool:
    """Whether the path has a scheme, such as ``gs://``."""
    return "://" in path


def remote() -> Any:
    """TFX's file systems."""
    from tfx.dsl.io import fileio

    return fileio


def open_file(path: str, mode: str) -> IO[bytes]:
    """Opens a local or remote file; ``mode`` is ``'rb'`` or ``'wb'``."""
    if not is_remote(path):
        return Path(path).open(mode)
    file = _RemoteFile(remote().open(path, mode))
    if mode == "rb":
        return io.BufferedReader(file, _BUFFER)
    return io.BufferedWriter(file, _BUFFER)


def rename(source: str, target: str) -> None:
    """Gives a file another name, in place of what may stand there."""
    if is_remote(target):
        remote().rename(source, target, overwrite=True)
    else:
        Path(source).replace(target)


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    return remote().exists(path) if is_remote(path) else Path(path).exists()


def remove(path: str) -> None:
    """Removes a file, if it is there."""
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        remote().remove(path)


def names(folder: str) -> list[str]:
    """The names of what lies in a folder, sorted; none where there is no folder."""
    if not exists(folder):
        return []
    if not is_remote(folder):
        return sorted(path.name for path in Path(folder).iterdir())
    return sorted(str(name).rstrip("/") for name in remote().listdir(folder))


def make_folder(path: str) -> None:
    """Makes a folder and those above it, where they are missing."""
    if is_remote(path):
        remote().makedirs(path)
    else:
        Path(path).mkdir(parents=True, exist_ok=True)


def remove_folder(path: str) -> None:
    """Removes a folder with all that is in it, if it is there."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
    elif exists(path):
        remote().rmtree(path)


class _RemoteFile(io.RawIOBase):
    """A file of TFX's file systems, which lacks some of what Python's and Arrow's readers ask."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        self._file.write(bytes(data))
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()
