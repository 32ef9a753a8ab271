"""The verbs ``promote`` and ``rollback``: a person moves the traffic, at once."""

import pathlib
import sys
from typing import Any

import click
import yaml

from serving.registry.background import Mirror
from serving.releases import ReleaseError, Releases

_WHY = click.option("--why", required=True, help="A reason, for the history.")


@click.command()
@click.argument("number", type=click.IntRange(1))
@_WHY
@click.pass_obj
def promote(settings_path: str, number: int, why: str) -> None:
    """Make version NUMBER the stable one, a quarantined one too; a trial of another one ends."""
    try:
        releases, mirror = opened(settings_path)
        before = releases.traffic()
        releases.promote(number, _reason(why))
    except (ReleaseError, OSError) as error:
        _fail(error)
    if before is not None and before.stable == number:
        click.echo(f"Version {number} is stable already.")
    else:
        click.echo(f"Version {number} is stable.")
    _tell(mirror)


@click.command()
@_WHY
@click.option(
    "--version",
    "number",
    type=click.IntRange(1),
    help="Which version to take back; by default the one on trial, else the stable one.",
)
@click.pass_obj
def rollback(settings_path: str, number: int | None, why: str) -> None:
    """Take a version's traffic away at once and quarantine it."""
    try:
        releases, mirror = opened(settings_path)
        bad = releases.rollback(_reason(why), number=number)
        traffic = releases.traffic()
    except (ReleaseError, OSError) as error:
        _fail(error)
    serves = f"Version {traffic.stable} serves." if traffic else ""
    click.echo(f"Version {bad} is rolled back and quarantined. {serves}")
    _tell(mirror)


def model_directory(settings_path: str) -> pathlib.Path:
    """The folder of the model's versions, as ``Settings.serving.model_directory`` says it.

    Nothing else of the settings is read or checked: a rollback must be quick, and must not fail
    because of a source that somebody is just writing down.

    Raises:
      ReleaseError: if the file is none, or does not say where the model is served.
    """
    return _model_directory(_tree(settings_path), settings_path)


def _tree(settings_path: str) -> Any:
    try:
        return yaml.safe_load(pathlib.Path(settings_path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReleaseError(f"{settings_path} cannot be read: {error}") from None


def _model_directory(tree: Any, settings_path: str) -> pathlib.Path:
    try:
        serving = tree.get("serving") or {}
        directory = serving.get("directory", "var/serving")
        model = serving.get("model")
        if model is None:
            model = tree["project"]["name"]
    except (AttributeError, KeyError, TypeError):
        raise ReleaseError(f"{settings_path} names no served model: see serving.model") from None
    for key, value in (("serving.directory", directory), ("serving.model", model)):
        if not isinstance(value, str) or not value:
            raise ReleaseError(f"{settings_path}: {key} is {value!r}: expected a name")
    return pathlib.Path(f"{directory.rstrip('/')}/{model}")


def opened(settings_path: str) -> tuple[Releases, Mirror | None]:
    """The releases, and their mirror if there is one; see ``model_directory``.

    Raises:
      ReleaseError: as ``model_directory``, or if there is no version yet.
    """
    tree = _tree(settings_path)
    folder = _model_directory(tree, settings_path)
    if not folder.is_dir():
        raise ReleaseError(f"no version in {folder} yet: python -m pipeline run")
    registry = tree.get("registry")
    mirror = Mirror(folder, registry) if isinstance(registry, dict) else None
    return Releases(folder, [mirror] if mirror else []), mirror


def _tell(mirror: Mirror | None) -> None:
    if mirror is not None and (told := mirror.follows()):
        click.echo(told)


def _reason(why: str) -> str:
    if not why.strip():
        raise click.UsageError("--why is empty: say a reason for the history")
    return why.strip()


def _fail(error: Exception) -> None:
    click.secho(str(error), fg="red", err=True)
    sys.exit(1)
