"""Which of a model's versions are served."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_LARGEST = 2**63 - 1


def numbered(names: Iterable[str]) -> list[int]:
    """The versions among a folder's children: every name that parses as an integer.

    As in TensorFlow Serving nothing is asked of the child itself: whoever writes a version stages
    it under another name and renames it. Of '1' and '001', which name one version, one is kept.

    Args:
      names: the children.

    Returns:
      Their numbers, ascending.
    """
    digits = {int(name) for name in names if name.isascii() and name.isdigit()}
    return sorted(number for number in digits if number <= _LARGEST)


def folder_of(base: str | os.PathLike[str], version: int) -> str:
    """The child of a model's folder that is a version; '007' is version 7 too."""
    plain = Path(base) / str(version)
    if not plain.exists():
        for child in Path(base).iterdir():
            if numbered([child.name]) == [version]:
                return str(child)
    return str(plain)


def wanted(versions: Iterable[int], policy: Any) -> list[int]:
    """What a policy serves.

    Args:
      versions: those that there are.
      policy: a ``FileSystemStoragePathSourceConfig.ServableVersionPolicy``; an empty one is the
        latest version.

    Returns:
      Versions, newest first: the order in which they are loaded.
    """
    newest = sorted(versions, reverse=True)
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return newest
    if choice == "specific":
        chosen = set(policy.specific.versions)
        return [version for version in newest if version in chosen]
    count = policy.latest.num_versions if choice == "latest" else 0
    return newest[: count or 1]
