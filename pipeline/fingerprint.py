"""Fingerprints of code: part of the cache key, so that edited code and new libraries run again."""

import functools
import hashlib
import importlib.metadata
import inspect
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What one version of these computed is not taken over by another: a project can change its stack.
LIBRARIES = ("tfx", "tensorflow", "tensorflow-transform", "tfx-bsl", "pyarrow")


@functools.cache
def code(*folders: str) -> str:
    """Fingerprint of the Python files below folders, and of the libraries that they run on.

    Args:
      *folders: folders relative to the project's root, such as ``'trainer'``.

    Returns:
      16 hexadecimal digits; the same for the same names, contents and versions.
    """
    digest = hashlib.sha256()
    for library in LIBRARIES:
        digest.update(f"{library}=={importlib.metadata.version(library)}\0".encode())
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def component(folder: str, *also: str) -> str:
    """Fingerprint of a component: its folder, what the ExampleGens share, and what else it uses."""
    return code(f"components/{folder}", "components/ingest", *also)


def rows(source: type) -> str:
    """Fingerprint of how a source of rows is read, with the module of a class that is not ours."""
    ours = component("sql_example_gen")
    if source.__module__.startswith("components."):
        return ours
    return text(f"{ours}:{text(pathlib.Path(inspect.getfile(source)).read_bytes())}")


def text(content: str | bytes) -> str:
    """Fingerprint of a text: 16 hexadecimal digits."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:16]
