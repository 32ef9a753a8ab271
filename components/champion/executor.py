"""Copies the model that serves out of the release record."""

import json
from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from serving import releases
from serving.folders import copy_tree, write_atomically

CHAMPION = "champion.json"


def fetch(directory: str, model: Path, statistics: Path) -> tuple[int | None, list[str]]:
    """Copies the champion; files are shared by hard links where the file system can.

    Args:
      directory: the served model's folder.
      model: an artifact's folder for the model.
      statistics: an artifact's folder for its statistics.

    Returns:
      The version, None if nothing serves, and the names of the statistics' splits.

    Raises:
      serving.releases.ReleaseError: if the release record cannot be used.
    """
    champion = releases.Releases(directory).stable()
    splits = []
    about: dict[str, Any] = {"version": None}
    if champion is not None:
        about = {**champion.release, "version": champion.number}
        copy_tree(champion.path, Path(path_utils.serving_model_dir(str(model))), link=True)
        kept = champion.path / releases.STATISTICS
        for split in sorted(kept.glob("Split-*")):
            copy_tree(split, statistics / split.name, link=True)
            splits.append(split.name.removeprefix("Split-"))
    for folder in (model, statistics):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CHAMPION, json.dumps(about, indent=2) + "\n")
    return about["version"], splits


def champion_version(model_uri: str) -> int | None:
    """Which version a Champion's ``model`` holds; None if there was no champion."""
    path = Path(model_uri) / CHAMPION
    version = json.loads(path.read_text(encoding="utf-8"))["version"]
    return None if version is None else int(version)


class Executor(base_executor.BaseExecutor):
    """Champion's work."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the champion to the outputs."""
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(output_dict["model"])
        statistics = artifact_utils.get_single_instance(output_dict["statistics"])
        version, splits = fetch(exec_properties["directory"], Path(model.uri), Path(statistics.uri))
        statistics.split_names = artifact_utils.encode_split_names(splits)
        logging.info("champion: %s", "none" if version is None else f"version {version}")
