"""What stays of the settings that were there before: all that no data tell."""

import os
import pathlib
from typing import Any

import yaml

from pipeline.init import document

_KEPT = ("training", "serving", "run", "beam", "registry", "kubeflow")
_SECRET = {"secret": "plant-db", "key": "url"}


def start(path: pathlib.Path) -> dict[str, Any]:
    """What a new project's start says, as it was answered when the project was made.

    Returns:
      Its content; nothing if the settings there are no start.
    """
    content = _content(path)
    return content if content and document.START in path.read_text(encoding="utf-8") else {}


def variable(path: pathlib.Path) -> str | None:
    """The environment variable that holds the database's URL by a project's start, if it is set."""
    content = start(path)
    name = content.get("sources", {}).get(content.get("spine"), {}).get("url_env")
    return name if name and name in os.environ else None


def without_sensors(content: dict[str, Any]) -> bool:
    """Whether a project's start was answered to have no sensor files."""
    sources = content.get("sources", {}).values()
    return bool(sources) and all(source.get("kind") != "sensor" for source in sources)


def keep_choices(path: pathlib.Path, proposed: dict[str, Any]) -> dict[str, Any]:
    """The proposed settings with what the file there says of training, serving and the cluster.

    A model that is called as the project was is called as it will be.

    Args:
      path: the settings that will be replaced; without readable ones nothing is kept.
      proposed: the settings' content.
    """
    there = _content(path)
    kept = {key: dict(there[key]) for key in _KEPT if isinstance(there.get(key), dict)}
    project = there.get("project")
    before = project.get("name") if isinstance(project, dict) else None
    if "serving" in kept and kept["serving"].get("model") in (None, before):
        kept["serving"]["model"] = proposed["project"]["name"]
    if "training" in kept and proposed["label"]["task"] == "regression":
        kept["training"].pop("class_weights", None)
    readers = _readers(proposed)
    if "beam" in kept:
        kept["beam"] = {n: at for n, at in kept["beam"].items() if n in readers or not _reads(n)}
    if isinstance(kept.get("kubeflow", {}).get("nodes"), dict):
        kept["kubeflow"]["nodes"] = _nodes(kept["kubeflow"]["nodes"], readers, proposed)
    return {**proposed, **kept}


def cluster_text(path: pathlib.Path, proposed: dict[str, Any], live: bool) -> str | None:
    """The cluster's settings when the project's are these: the same data, in its own places.

    Args:
      path: the cluster's settings.
      proposed: the content of the project's.
      live: whether data come up to today.

    Returns:
      None if there are none, or no variable names the database: a pod could not be given it.
    """
    variable = proposed["sources"][proposed["spine"]].get("url_env")
    content = keep_choices(path, proposed)
    return document.settings_text(content, live) if variable and "kubeflow" in content else None


def _content(path: pathlib.Path) -> dict[str, Any]:
    try:
        there = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    except (yaml.YAMLError, UnicodeDecodeError):
        there = None
    return there if isinstance(there, dict) else {}


def _readers(proposed: dict[str, Any]) -> dict[str, str]:
    """The kind of source by the node that reads it."""
    return {
        f"{'Sql' if source['kind'] == 'sql' else 'Sensor'}ExampleGen-{name}": source["kind"]
        for name, source in proposed["sources"].items()
    }


def _reads(node: str) -> bool:
    return "ExampleGen-" in node


def _nodes(
    there: dict[str, Any], readers: dict[str, str], proposed: dict[str, Any]
) -> dict[str, Any]:
    """What pods ask for, by node: the database's secret as the spine had it, Champion's volume."""
    spine = there.get(f"SqlExampleGen-{proposed['spine']}", {})
    database = {**spine}
    variable = proposed["sources"][proposed["spine"]].get("url_env")
    if variable:
        secret = next(iter(spine.get("secrets", {}).values()), _SECRET)
        database["secrets"] = {variable: secret}
    files = {"volumes": there.get("Champion", {}).get("volumes", [])}
    given = {node: database if kind == "sql" else files for node, kind in readers.items()}
    kept = {node: asks for node, asks in there.items() if not _reads(node)}
    return {**kept, **given}
