"""Files that cannot be written: told with the place, the room there and what to do."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from components.ingest.paths import is_remote, open_file

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a used-up quota, and a file above what the process or its disk allow."""


class UnwritableError(OSError):
    """A file that cannot be written; its only argument is what to tell."""


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turns what the system refuses in the block into an UnwritableError that names the file."""
    try:
        yield
    except UnwritableError:
        raise
    except OSError as error:
        raise unwritable(path, error) from None


@contextlib.contextmanager
def open_to_write(path: str, told: str | None = None) -> Iterator[IO[bytes]]:
    """Opens a file; what the system refuses is an UnwritableError.

    In the block that is a lack of room only: other errors may be of what is read there.

    Args:
      path: as ``paths.py`` takes it.
      told: the name to tell, if it is another.
    """
    told = told or path
    with writing(told):
        file = open_file(path, "wb")
    try:
        yield file
        with writing(told):
            file.close()
    except OSError as error:
        raise (unwritable(told, error) if error.errno in NO_ROOM else error) from None
    finally:
        with contextlib.suppress(OSError):
            file.close()


def unwritable(path: str, error: OSError) -> UnwritableError:
    """The error of a file that the system refuses to write."""
    said = error.strerror or str(error)
    mend = "Check the disk, and that this user may write there"
    if error.errno in NO_ROOM:
        said += "" if is_remote(path) else f" ({free(path)})"
        mend = "Make room there, or let run.directory in the settings name another folder"
    return UnwritableError(f"{path} cannot be written: {said}. {mend}")


def free(path: str) -> str:
    """The room where a file would lie, such as ``'0 of 3 MiB free'``."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return f"{usage.free >> 20:,} of {usage.total >> 20:,} MiB free"
