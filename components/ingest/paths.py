"""Paths that are local or, with a scheme such as ``gs://``, whatever TFX's file systems open.

Nothing is imported here that an environment to submit from lacks.
"""

from pathlib import Path
from typing import IO, Any


def is_remote(path: str) -> bool:
    """Whether the path has a scheme, such as ``gs://``."""
    return "://" in path


def remote() -> Any:
    """TFX's file systems."""
    from tfx.dsl.io import fileio

    return fileio


def open_file(path: str, mode: str) -> IO[bytes]:
    """Opens a local or remote file; ``mode`` is ``'rb'`` or ``'wb'``."""
    return remote().open(path, mode) if is_remote(path) else Path(path).open(mode)


def make_folder(path: str) -> None:
    """Makes a folder and those above it, where they are not there."""
    if is_remote(path):
        remote().makedirs(path)
    else:
        Path(path).mkdir(parents=True, exist_ok=True)


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
