"""What the verb does once its options are read: each function ends with an exit code."""

import dataclasses
import pathlib

from rich.console import Console
from rich.markup import escape

from pipeline.interrupt import interruptible
from pipeline.kubeflow.submit import recurring, start, watch
from pipeline.kubeflow.submit.backend import Backend, RunState
from pipeline.kubeflow.submit.errors import SubmitError, reason
from pipeline.nodes import node_ids
from pipeline.run_id import new_run_id
from pipeline.settings import Settings, SettingsError

EXIT_CODES: dict[RunState | None, int] = {"succeeded": 0, "failed": 1, "canceled": 3, None: 4}
INTERRUPTED = 130
_SERVERS = ("kfp_server_api", "urllib3", "requests", "google")


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be run.

    Attributes:
      title: names the recurring run; a run, with its time.
      as_of: what ``--as-of`` says.
      pairs: what ``-p`` says.
      cron: makes it a recurring run.
      package: what was compiled before; None to compile.
      allow_unpinned: takes an image that is named by a tag.
    """

    title: str
    as_of: str | None
    pairs: tuple[str, ...]
    cron: str | None
    package: pathlib.Path | None
    allow_unpinned: bool


@dataclasses.dataclass(frozen=True)
class Hints:
    """What an interrupt does: ``verb`` is how submit was called, for the hints that it prints."""

    verb: str
    cancel_on_interrupt: bool


def connected(settings: Settings, console: Console) -> Backend:
    """The platform that the settings name, with the login tried.

    Raises:
      SubmitError: if they name none, or if it does not answer or refuses.
    """
    if settings.kubeflow is None:
        raise SubmitError(
            "the settings have no kubeflow block: it says where the pipeline runs, and in which "
            "image"
        )
    with console.status("connecting …"):
        if settings.kubeflow.backend == "vertex":
            from pipeline.kubeflow.submit.vertex import VertexBackend

            backend: Backend = VertexBackend(settings.kubeflow)
        else:
            from pipeline.kubeflow.submit.kfp_backend import KfpBackend

            backend = KfpBackend(settings.kubeflow, node_ids(settings))
    _say(console, f"[dim]{escape(backend.place)}[/]")
    return backend


def begin(
    settings: Settings, path: pathlib.Path, order: Order, console: Console
) -> tuple[Backend, str | None]:
    """Compiles, uploads and starts; what is refused cheaply is refused first.

    Args:
      settings: the project's settings.
      path: the file that they come from.
      order: what is to be run.
      console: where it is told.

    Returns:
      The platform, and the run's id; None where a recurring run was asked for.
    """
    if order.cron:
        recurring.cron_of_six(order.cron)
    if settings.kubeflow and not order.package:
        start.check(settings, path, allow_unpinned=order.allow_unpinned)
    backend = connected(settings, console)
    if order.package:
        package = start.read(settings, order.package)
    else:
        with console.status("importing TFX and compiling …"):
            package = start.compiled(settings, path, allow_unpinned=order.allow_unpinned)
    values = start.values(
        settings, package, order.as_of, order.pairs, recurring=order.cron is not None
    )
    with console.status("uploading …"):
        uploaded = backend.upload(package)
    _say(console, f"version {package.version}" + ("" if uploaded.is_new else ", was there already"))
    if order.cron:
        schedule = backend.schedule(package, uploaded, order.title, order.cron, values)
        what = f"The recurring run {order.title} ({order.cron}): {schedule.change}."
        _say(console, escape(what))
        return backend, None
    run_id = backend.start(package, uploaded, f"{order.title}-{new_run_id()}", values)
    _say(console, f"run {run_id}  [dim]{backend.link(run_id)}[/]")
    return backend, run_id


def follow(
    backend: Backend,
    run_id: str,
    settings: Settings,
    pace: watch.Pace,
    hints: Hints,
    console: Console,
) -> int:
    """Shows a run to its end.

    Args:
      backend: where it runs.
      run_id: which.
      settings: name its stages.
      pace: how often to look.
      hints: what an interrupt does.
      console: where it is shown.
    """
    try:
        with interruptible():
            state, sight = watch.watch(backend, run_id, node_ids(settings), console, pace)
    except KeyboardInterrupt:
        return _interrupted(backend, run_id, hints, console)
    except Exception as error:
        return told(error, console)
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
            f"may go on: {escape(hints.verb)} --follow {run_id} watches it.",
        )
    return EXIT_CODES[state]


def show(backend: Backend, run_id: str, settings: Settings, console: Console) -> int:
    """Shows a run as it stands."""
    state = watch.show(backend, run_id, node_ids(settings), console)
    _say(console, f"{state}  [dim]{backend.link(run_id)}[/]")
    return EXIT_CODES.get(state, 0)


def cancel(backend: Backend, run_id: str, console: Console) -> int:
    """Asks for a run's end."""
    backend.cancel(run_id)
    _say(console, f"Run {escape(run_id)} is being cancelled.")
    return 0


def disable(backend: Backend, title: str, console: Console) -> int:
    """Stops the recurring run of a name."""
    done = "is stopped" if backend.disable(title) else "was stopped before"
    _say(console, f"The recurring run {escape(title)} {done}.")
    return 0


def told(error: Exception, console: Console) -> int:
    """Prints what a user can mend, and what servers refuse; raises what is a bug of ours."""
    ours = isinstance(error, SettingsError | SubmitError)
    if not ours and type(error).__module__.partition(".")[0] not in _SERVERS:
        raise error
    console.print(f"[bold red]{type(error).__name__}[/]")
    text = str(error) if ours else reason(error)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return 1


def _interrupted(backend: Backend, run_id: str, hints: Hints, console: Console) -> int:
    """Nobody is asked: a run that takes hours must not end by a slip of the hand."""
    if hints.cancel_on_interrupt:
        try:
            backend.cancel(run_id)
        except Exception as error:
            told(error, console)
        else:
            _say(console, "[yellow]Stopped.[/] The run is being cancelled.")
            return INTERRUPTED
    _say(console, "[yellow]Stopped watching.[/] The run goes on:")
    _say(console, f"  {escape(hints.verb)} --follow {run_id}   watches it")
    _say(console, f"  {escape(hints.verb)} --cancel {run_id}   cancels it")
    return INTERRUPTED


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
