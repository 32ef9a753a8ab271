"""The verb ``submit``: compiles, uploads, runs and watches the pipeline on a cluster."""

import logging
import pathlib
import sys

import click
from rich.console import Console

from pipeline.interrupt import interruptible

_SECONDS = click.FloatRange(0, min_open=True)


@click.command()
@click.option("--as-of", metavar="T", help="Stand at this time: ISO 8601, 'now' or 'latest'.")
@click.option("-p", "pairs", metavar="NAME=VALUE", multiple=True, help="Set a run parameter.")
@click.option(
    "--package",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="Submit this package, which 'compile' made, instead of compiling.",
)
@click.option(
    "--allow-unpinned", is_flag=True, help="Take an image without a digest. For trying only."
)
@click.option("--name", metavar="NAME", help="What it is called; a run, with its time.")
@click.option("--no-wait", is_flag=True, help="Start the run and leave it.")
@click.option("--cancel-on-interrupt", is_flag=True, help="Ctrl-C cancels the run, too.")
@click.option("--cron", metavar="EXPR", help="Run it again and again: '0 3 * * *' is 3:00 UTC.")
@click.option("--disable", is_flag=True, help="Stop the recurring run.")
@click.option("--follow", metavar="RUN_ID", help="Watch a run that was started before.")
@click.option("--status", metavar="RUN_ID", help="Show a run as it stands.")
@click.option("--cancel", metavar="RUN_ID", help="Cancel a run.")
@click.option("--poll", type=_SECONDS, default=2.0, show_default=True, help="Seconds, at first.")
@click.option(
    "--patience",
    type=_SECONDS,
    default=600.0,
    show_default=True,
    help="Seconds without an answer until the run is lost sight of.",
)
@click.pass_obj
def command(
    settings_path: str,
    as_of: str | None,
    pairs: tuple[str, ...],
    package: pathlib.Path | None,
    allow_unpinned: bool,
    name: str | None,
    no_wait: bool,
    cancel_on_interrupt: bool,
    cron: str | None,
    disable: bool,
    follow: str | None,
    status: str | None,
    cancel: str | None,
    poll: float,
    patience: float,
) -> None:
    """Compile the pipeline, upload it, run it on a cluster, and show its stages to the end.

    Where it runs, and who you are there, stands under kubeflow: in the settings. Ends with 0 if the
    run succeeded, 1 if it failed or was refused, 3 if it was cancelled, 4 if the server was lost
    sight of, and 130 on Ctrl-C, which leaves the run going.
    """
    if sum(bool(word) for word in (cron, disable, follow, status, cancel)) > 1:
        raise click.UsageError(
            "--cron, --disable, --follow, --status and --cancel exclude one another"
        )
    # Imported here: help must not wait for it.
    from pipeline.kubeflow.submit import run, watch
    from pipeline.settings import load_settings

    # A request that is made again is nothing that a user must know.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    console, path = Console(), pathlib.Path(settings_path)
    pace = watch.Pace(poll, max(poll, 15.0), patience)
    try:
        with interruptible():
            settings = load_settings(path)
            title = name or settings.project.name
            run_id = follow
            if follow or status or cancel or disable:
                backend = run.connected(settings, console)
            else:
                order = run.Order(title, as_of, pairs, cron, package, allow_unpinned)
                backend, run_id = run.begin(settings, path, order, console)
            if status:
                sys.exit(run.show(backend, status, settings, console))
            if cancel:
                sys.exit(run.cancel(backend, cancel, console))
            if disable:
                sys.exit(run.disable(backend, title, console))
    except KeyboardInterrupt:
        console.print("[yellow]Stopped[/] before a run was watched.")
        sys.exit(run.INTERRUPTED)
    except Exception as error:
        sys.exit(run.told(error, console))
    if run_id is None or no_wait:
        sys.exit(0)
    verb = "python -m pipeline" + (
        "" if settings_path == "settings.yaml" else f" --settings {path}"
    )
    hints = run.Hints(f"{verb} submit", cancel_on_interrupt)
    sys.exit(run.follow(backend, run_id, settings, pace, hints, console))
