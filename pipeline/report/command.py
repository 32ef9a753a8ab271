"""The verb ``report``: a run as one HTML page."""

import pathlib
import sys
import webbrowser

import click

from pipeline.report import report
from pipeline.report.run import NoRunError, find
from pipeline.settings import SettingsError, load_settings


@click.command()
@click.argument("run", required=False)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    help="Where to write it. Default: report.html in the run's folder.",
)
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
@click.pass_obj
def command(settings_path: str, run: str | None, output: pathlib.Path | None, show: bool) -> None:
    """Write a page about RUN: its decision, data, model and where it comes from.

    RUN is a run's id or enough of its beginning; by default the newest. The page is one file that
    needs no network. Each run writes its own when it ends.
    """
    try:
        settings = load_settings(pathlib.Path(settings_path))
        folder = find(pathlib.Path(settings.run.directory).absolute() / "runs", run)
        path = report.write(folder, settings.project.name, output)
    except (SettingsError, NoRunError, OSError) as error:
        click.secho(str(error), fg="red", err=True)
        sys.exit(1)
    click.echo(str(path))
    if show:
        webbrowser.open(path.absolute().as_uri())
