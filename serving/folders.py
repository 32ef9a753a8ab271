"""Folders and files that appear whole or not at all, and survive a power cut."""

import hashlib
import os
import shutil
import uuid
from pathlib import Path

_CHUNK = 1 << 20


def write_atomically(path: Path, text: str) -> None:
    """Writes a file beside its place and renames it into it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Makes a folder's files and names durable."""
    for folder, _, names in os.walk(root):
        for name in names:
            with (Path(folder) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(folder))


def copy_tree(source: Path, target: Path, link: bool = False) -> None:
    """Copies a folder.

    Args:
      source: the folder.
      target: must not exist; its parents are made.
      link: shares the files' content by hard links where the file system can; for content that is
        never changed in place.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, copy_function=_link_or_copy if link else shutil.copy2)


def content_fingerprint(root: Path, skip: str = "assets.extra") -> str:
    """A folder's content as one number.

    Args:
      root: the folder.
      skip: a folder directly under it that does not count.

    Returns:
      SHA-256, hexadecimal, over the files' relative paths, sizes and bytes in order.
    """
    digest = hashlib.sha256()
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in files:
        relative = path.relative_to(root)
        if relative.parts[0] == skip:
            continue
        digest.update(f"{relative.as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
