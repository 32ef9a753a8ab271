"""The verb ``versions``: the model's released versions."""

import pathlib
import sys

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.settings import SettingsError, load_settings
from serving.releases import ReleaseError, Releases


@click.command()
@click.pass_obj
def command(settings_path: str) -> None:
    """List the model's released versions, what each was trained on, and which one serves."""
    console = Console()
    try:
        settings = load_settings(pathlib.Path(settings_path))
        releases = Releases(settings.serving.model_directory)
        versions, stable = releases.versions(), releases.stable()
    except (SettingsError, ReleaseError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    if not versions:
        console.print(
            f"No version in {escape(settings.serving.model_directory)} yet: python -m pipeline run"
        )
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("version", "as of", "pushed", "metrics"):
        table.add_column(heading, no_wrap=True)
    for version in reversed(versions):
        release, lineage = version.release, version.release.get("lineage", {})
        metrics = "\n".join(
            f"{name} {value:.3f}"
            for name, value in release.get("metrics", {}).items()
            if value is not None and name != "example_count"
        )
        serves = stable is not None and version.number == stable.number
        table.add_row(
            f"[green]{version.number} serves[/]" if serves else str(version.number),
            _minute(lineage.get("as_of", "")),
            _minute(release.get("created", "")),
            metrics,
        )
    console.print(table)


def _minute(instant: object) -> str:
    """``2025-04-17T06:00:00Z`` as ``2025-04-17 06:00``, all times being UTC."""
    return str(instant)[:16].replace("T", " ")
