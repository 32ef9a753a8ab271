"""The verb ``registry``: brings the release record's mirror up to date."""

import pathlib
import sys

import click

from pipeline.settings import SettingsError, load_settings
from serving.registry.background import ask

_SECONDS = 600.0


@click.command()
@click.pass_obj
def command(settings_path: str) -> None:
    """Make the registered model in MLflow equal to the release record.

    Each transition does so by itself; this is for what MLflow missed while it was down, and for the
    releases of the time before there was a registry.
    """
    try:
        settings = load_settings(pathlib.Path(settings_path))
        if settings.registry is None:
            raise RuntimeError(
                f"{settings_path} names no registry, such as "
                "registry: {kind: mlflow, tracking_uri: sqlite:///var/mlflow.db}"
            )
        folder = pathlib.Path(settings.serving.model_directory)
        if not folder.is_dir():
            raise RuntimeError(f"no version in {folder} yet: python -m pipeline run")
        click.echo(ask(folder, settings.registry.model_dump(), "sync", _SECONDS))
    except (SettingsError, RuntimeError) as error:
        click.secho(str(error), fg="red", err=True)
        sys.exit(1)
