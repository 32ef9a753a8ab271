"""Files that appear whole or not at all."""

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from components.ingest.paths import is_remote, make_folder, open_file, remove, rename
from components.ingest.room import open_to_write, writing


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """A file that is written beside its place and takes its name on a clean exit.

    After an error nothing is left; where the system refuses, it is an UnwritableError that tells
    the file.

    Args:
      path: local, or with a scheme such as ``gs://`` whatever TFX's file systems open.
    """
    folder, slash, name = path.rpartition("/")
    own = f"{folder}{slash}.{name}.{uuid.uuid4().hex}"
    with writing(path):
        make_folder(folder or ".")
    try:
        with open_to_write(own, path) as file:
            yield file
        rename(own, path)
    finally:
        remove(own)


def join(sources: list[str], target: str) -> None:
    """Puts files one behind the other into a whole file; a single local one becomes a link to it.

    Files of gzipped records may follow each other in one file.
    """
    if len(sources) == 1 and not (is_remote(sources[0]) or is_remote(target)):
        try:
            Path(target).hardlink_to(sources[0])
            return
        except OSError:
            pass  # On another file system, or on one without links.
    with whole_file(target) as whole:
        for path in sources:
            with open_file(path, "rb") as piece:
                shutil.copyfileobj(piece, whole, 1 << 20)
