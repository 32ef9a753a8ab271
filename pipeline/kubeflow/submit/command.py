"""The verb ``submit``: compiles, uploads, runs and watches the pipeline on a cluster."""

import logging
import pathlib
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from pipeline.interrupt import interruptible
from pipeline.kubeflow.submit.errors import SubmitError, reason
from pipeline.run_id import new_run_id
from pipeline.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from pipeline.kubeflow.submit.backend import Backend
    from pipeline.kubeflow.submit.watch import Pace

EXIT_CODES = {"succeeded": 0, "failed": 1, "canceled": 3, None: 4}
INTERRUPTED = 130
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
    from pipeline.kubeflow.submit import recurring, start, watch

    # A request that is made again is nothing that a user must know.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    console, path = Console(), pathlib.Path(settings_path)
    try:
        with interruptible():
            settings = load_settings(path)
            starts = not (disable or follow or status or cancel)
            if cron:
                recurring.cron_of_six(cron)
            backend = _connected(settings, path, console, starts and not package, allow_unpinned)
            title = name or settings.project.name
            if cancel:
                backend.cancel(cancel)
                _say(console, f"Run {cancel} is being cancelled.")
                sys.exit(0)
            if disable:
                done = "is stopped" if backend.disable(title) else "was stopped before"
                _say(console, f"The recurring run {escape(title)} {done}.")
                sys.exit(0)
            if status:
                state = watch.show(backend, status, _stages(settings), console)
                _say(console, f"{state}  [dim]{backend.link(status)}[/]")
                sys.exit(EXIT_CODES.get(state, 0))
            run_id = follow
            if run_id is None:
                with console.status("compiling …"):
                    packed = (
                        start.read(settings, package)
                        if package
                        else start.compiled(settings, path, allow_unpinned=allow_unpinned)
                    )
                values = start.values(settings, packed, as_of, pairs, recurring=bool(cron))
                with console.status("uploading …"):
                    uploaded = backend.upload(packed)
                known = "" if uploaded.is_new else "  [dim]was there already[/]"
                _say(console, f"version {packed.version}{known}")
                if cron:
                    change = backend.schedule(packed, uploaded, title, cron, values).change
                    _say(console, f"The recurring run {escape(title)} ({escape(cron)}): {change}.")
                    sys.exit(0)
                run_id = backend.start(packed, uploaded, f"{title}-{new_run_id()}", values)
            _say(console, f"run {run_id}  [dim]{backend.link(run_id)}[/]")
    except KeyboardInterrupt:
        _say(console, "[yellow]Stopped[/] before a run was watched.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        sys.exit(_told(console, error))
    if no_wait:
        sys.exit(0)
    pace = watch.Pace(poll, max(poll, 15.0), patience)
    sys.exit(_watch(backend, run_id, settings, console, pace, cancel_on_interrupt))


def _connected(
    settings: Settings, path: pathlib.Path, console: Console, compiles: bool, allow_unpinned: bool
) -> "Backend":
    """The cheap refusals first: settings, then host and login, and only then TFX's import."""
    from pipeline.kubeflow.submit import start

    if settings.kubeflow is None:
        raise SubmitError(
            "the settings have no kubeflow block: it says where the pipeline runs, and in which "
            "image"
        )
    if compiles:
        start.check(settings, path, allow_unpinned=allow_unpinned)
    with console.status("connecting …"):
        if settings.kubeflow.backend == "vertex":
            from pipeline.kubeflow.submit.vertex import VertexBackend

            backend: Backend = VertexBackend(settings.kubeflow)
        else:
            from pipeline.kubeflow.submit.kfp_backend import KfpBackend

            backend = KfpBackend(settings.kubeflow, _stages(settings))
    _say(console, f"[dim]{escape(backend.place)}[/]")
    return backend


def _stages(settings: Settings) -> list[str]:
    """The stages, in the order in which they are shown."""
    from pipeline.nodes import node_ids

    return node_ids(settings)


def _watch(
    backend: "Backend",
    run_id: str,
    settings: Settings,
    console: Console,
    pace: "Pace",
    cancel_on_interrupt: bool,
) -> int:
    from pipeline.kubeflow.submit.watch import watch

    verb = "python -m pipeline submit"
    try:
        with interruptible():
            state, sight = watch(backend, run_id, _stages(settings), console, pace)
    except KeyboardInterrupt:
        if cancel_on_interrupt:
            try:
                backend.cancel(run_id)
            except Exception as error:
                _told(console, error)
                _say(console, f"The run goes on. {verb} --cancel {run_id} cancels it.")
            else:
                _say(console, "[yellow]Stopped.[/] The run is being cancelled.")
            return INTERRUPTED
        _say(console, "[yellow]Stopped watching.[/] The run goes on:")
        _say(console, f"  {verb} --follow {run_id}   watches it")
        _say(console, f"  {verb} --cancel {run_id}   cancels it")
        return INTERRUPTED
    except Exception as error:
        return _told(console, error)
    if state == "succeeded":
        _say(console, "[bold green]The run succeeded.[/]")
    elif state == "failed":
        failed = ", ".join(sight.of("failed")) or "The run"
        _say(console, f"[bold red]{escape(failed)} failed.[/] {escape(sight.error)}".rstrip())
        _say(console, f"Its log: [dim]{backend.link(run_id)}[/]")
    elif state == "canceled":
        _say(console, "[yellow]The run was cancelled.[/]")
    else:
        _say(
            console,
            f"[bold yellow]No answer for {pace.patience:.0f} s[/] ({escape(sight.error)}). The run "
            f"may go on: {verb} --follow {run_id} watches it.",
        )
    return EXIT_CODES[state]


def _told(console: Console, error: Exception) -> int:
    """Prints what a user can mend, and what servers refuse; raises what is a bug of ours."""
    ours = isinstance(error, SettingsError | SubmitError)
    module = type(error).__module__.partition(".")[0]
    if not (ours or module in ("kfp_server_api", "urllib3", "requests", "google")):
        raise error
    console.print(f"[bold red]{type(error).__name__}[/]")
    text = str(error) if ours else reason(error)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return 1


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
