"""Files that appear whole or not at all."""

import contextlib
import uuid
from collections.abc import Iterator
from typing import IO, Any

from components.ingest.paths import make_folder, remove, rename
from components.ingest.room import open_to_write, writing


class WholeFile:
    """A file that is written beside its place and takes its name on a clean exit.

    A context manager. After an error nothing is left; where the system refuses, it is an
    UnwritableError that tells the file.

    Attributes:
      path: local, or with a scheme such as ``gs://`` whatever TFX's file systems open.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._open = self._written()

    def __enter__(self) -> IO[bytes]:
        return self._open.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._open.__exit__(*raised)

    @contextlib.contextmanager
    def _written(self) -> Iterator[IO[bytes]]:
        folder, slash, name = self.path.rpartition("/")
        own = f"{folder}{slash}.{name}.{uuid.uuid4().hex}"
        with writing(self.path):
            make_folder(folder or ".")
        try:
            with open_to_write(own, self.path) as file:
                yield file
            rename(own, self.path)
        finally:
            remove(own)
