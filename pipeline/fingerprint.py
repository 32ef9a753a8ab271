"""Fingerprints of code: part of the cache key, so that edited code runs again."""

import functools
import hashlib
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent


@functools.cache
def code(*folders: str) -> str:
    """Fingerprint of the Python files below folders.

    Args:
      *folders: folders relative to the project's root, such as ``'trainer'``.

    Returns:
      16 hexadecimal digits; the same for the same names and contents.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def component(folder: str, *also: str) -> str:
    """Fingerprint of a component: its folder, what the ExampleGens share, and what else it uses."""
    return code(f"components/{folder}", "components/ingest", *also)


def text(content: str | bytes) -> str:
    """Fingerprint of a text: 16 hexadecimal digits."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:16]
