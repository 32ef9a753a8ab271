"""The versions' folders: which there are, how a new one comes in and how old ones go."""

import dataclasses
import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from serving.folders import copy_tree, sync_folder, sync_tree, write_atomically
from serving.releases.record import to_json

EXTRA = "assets.extra"
RELEASE = f"{EXTRA}/release.json"
STATISTICS = f"{EXTRA}/statistics"
SCHEMA = f"{EXTRA}/schema.pbtxt"
PREDICTIONS = f"{EXTRA}/predictions.parquet"
NONE = "none"
"""The state when nothing serves."""
_STAGING, _PRUNED = ".staging-", ".pruned-"


@dataclasses.dataclass(frozen=True)
class Version:
    """A version to serve.

    Attributes:
      number: its number.
      path: its folder, a SavedModel.
      release: what ``release.json`` tells of it; empty if somebody else put the folder there.
    """

    number: int
    path: Path
    release: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """The model's content as one number; empty if unknown."""
        return str(self.release.get("fingerprint", ""))


@dataclasses.dataclass(frozen=True)
class Push:
    """What a push did.

    Attributes:
      version: the version that holds the model now.
      created: whether it is new; else that model was a version already.
      stable: which version serves after it.
      pruned: the versions that were removed.
      state: what the version is after it.
      why: why it is that.
    """

    version: int
    created: bool
    stable: int | None
    pruned: tuple[int, ...] = ()
    state: str = "stable"
    why: str = ""


def numbers(folder: Path) -> list[int]:
    """The versions that are there, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        int(path.name)
        for path in folder.iterdir()
        if path.name.isdecimal() and str(int(path.name)) == path.name and path.is_dir()
    )


def read_version(folder: Path, number: int) -> Version:
    """One version; without a readable ``release.json`` it is as if somebody else had put it there.

    One broken file among many must not stand in the way of a rollback.
    """
    path = folder / str(number)
    return Version(number, path, _read_release(path))


def run_id_of(path: Path) -> str:
    """The pipeline run that made the version in a folder; "" if nothing tells."""
    lineage = _read_release(path).get("lineage")
    return str(lineage.get("run_id") or "") if isinstance(lineage, dict) else ""


def _read_release(path: Path) -> dict[str, Any]:
    try:
        release = json.loads((path / RELEASE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return release if isinstance(release, dict) else {}


def stage_copy(
    folder: Path,
    model: Path,
    statistics: str | Path | None,
    schema: str | Path | None,
) -> Path:
    """Copies a model beside the versions, durably; ``admit`` makes it one.

    Args:
      folder: the served model's folder.
      model: a SavedModel's folder.
      statistics: a folder of statistics to keep with it.
      schema: a schema file to keep with it.
    """
    staged = folder / f"{_STAGING}push"
    copy_tree(model, staged)
    # A candidate's extra assets, such as warm-up requests, stay; the record is ours.
    (staged / EXTRA).mkdir(exist_ok=True)
    if statistics is not None:
        copy_tree(Path(statistics), staged / STATISTICS)
    if schema is not None:
        shutil.copy2(schema, staged / SCHEMA)
    sync_tree(staged)
    return staged


def admit(staged: Path, number: int, release: Mapping[str, Any]) -> None:
    """Gives a staged copy its ``release.json`` and its number: now it is a version."""
    write_atomically(staged / RELEASE, to_json(release))
    staged.rename(staged.parent / str(number))
    sync_folder(staged.parent)


def retire(folder: Path, number: int) -> None:
    """Takes a version away at once; ``sweep`` frees its space."""
    (folder / str(number)).rename(folder / f"{_PRUNED}{number}")


def sweep(folder: Path) -> None:
    """Removes what killed pushes and prunes left, and what was retired."""
    for path in folder.iterdir():
        if path.name.startswith((_STAGING, _PRUNED)):
            shutil.rmtree(path)


def prunable(
    numbers: list[int],
    stable: int | None,
    before: int | None,
    keep: int,
    spared: Collection[int] = (),
) -> tuple[int, ...]:
    """Which versions go.

    Args:
      numbers: the versions that are there.
      stable: the one that serves.
      before: the one to roll back to.
      keep: how many of the newest stay, at least 1.
      spared: others that stay, such as one on trial.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}: expected at least 1")
    stay = {*sorted(numbers)[-keep:], stable, before, *spared}
    return tuple(number for number in sorted(numbers) if number not in stay)
