"""The verb ``rollout``: moves traffic to a staged version step by step, and back if it is worse."""

import contextlib
import logging
import pathlib
import sys
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.settings import SettingsError, load_settings
from serving.registry.background import Mirror
from serving.releases import ReleaseError, Releases
from serving.rollout.controller import Controller, Turn, alone
from serving.rollout.counters import Source
from serving.rollout.sources import EMBEDDED, TENSORFLOW_SERVING, Page, Prometheus, not_loaded

_STYLES = {"advance": "green", "roll back": "red", "hold": "dim"}
_SECONDS = click.FloatRange(0, min_open=True)
_REGISTRY_SECONDS = 30.0


@click.command()
@click.option("--once", is_flag=True, help="Look once and take one step at most, for cron.")
@click.option("--follow", is_flag=True, help="Go on and wait for the next version.")
@click.option(
    "--server",
    default="http://127.0.0.1:8501",
    show_default=True,
    help="The server's REST API, asked whether it has loaded the version; '' for nobody.",
)
@click.option(
    "--metrics",
    help="A page in Prometheus' text format; by default the server's.",
)
@click.option("--prometheus", help="A Prometheus to ask instead, such as http://prometheus:9090.")
@click.option("--selector", default="", help="More label matchers for Prometheus.")
@click.option(
    "--names",
    type=click.Choice(["embedded", "tensorflow-serving"]),
    default="embedded",
    show_default=True,
    help="Whose metrics these are.",
)
@click.option("--steps", help="Shares in percent, such as 1,10,50.")
@click.option("--min-seconds", type=float, help="How long a step lasts at least.")
@click.option(
    "--min-requests", type=int, help="How many requests the canary must have answered in a step."
)
@click.option("--p99-ms", type=float, help="Instead of serving.latency_p99_ms.")
@click.option("--error-share", type=float, help="Errors of the server or the model allowed.")
@click.option(
    "--compare-answers/--no-compare-answers",
    default=None,
    help="Whether its answers must be distributed as the stable version's are.",
)
@click.option("--psi", type=float, help="How far apart they may be.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=float,
    help="Seconds; a step that lasts longer without enough requests ends in a rollback.",
)
@click.option(
    "--grace",
    "grace_seconds",
    type=float,
    help="Seconds; metrics that are away for longer end in a rollback.",
)
@click.option("--poll", type=_SECONDS, default=2.0, show_default=True, help="Seconds.")
@click.pass_obj
def command(
    settings_path: str,
    once: bool,
    follow: bool,
    server: str,
    metrics: str | None,
    prometheus: str | None,
    selector: str,
    names: str,
    steps: str | None,
    poll: float,
    **instead: Any,
) -> None:
    """Try the staged version on a rising share of the traffic; take it back if it is worse.

    What a step asks stands under serving.canary in the settings; options go before it.
    Ends when no version is on trial: with 0, or with 3 if one was rolled back. It may be killed
    and started again at any time; one runs at a time.
    """
    console = Console(stderr=True)
    try:
        settings = load_settings(pathlib.Path(settings_path))
        given = {name: value for name, value in instead.items() if value is not None}
        if steps is not None:
            given["steps"] = _shares(steps)
        given.setdefault("p99_ms", settings.serving.latency_p99_ms)
        plan = settings.serving.canary.plan(**given)
        if metrics is None and not prometheus and not server:
            raise ValueError(
                "nothing to read metrics from: say --metrics, --prometheus or --server"
            )
        if metrics and prometheus:
            raise ValueError("--metrics and --prometheus exclude each other: say where to read")
        if selector and not prometheus:
            raise ValueError("--selector has no effect without --prometheus")
        if once and follow:
            raise ValueError("--once and --follow exclude each other")
        model = settings.serving.model
        named = EMBEDDED if names == "embedded" else TENSORFLOW_SERVING
        page = metrics or f"{server.rstrip('/')}/monitoring/prometheus/metrics"
        source: Source = Page(page, named, model)
        if prometheus:
            source = Prometheus(prometheus, named, model, selector)
        folder = pathlib.Path(settings.serving.model_directory)
        if not folder.is_dir():
            raise ReleaseError(f"no version in {folder} yet: python -m pipeline run")
        registry = settings.registry
        mirror = Mirror(folder, registry.model_dump()) if registry else None
        controller = Controller(
            Releases(folder, [mirror] if mirror else []),
            source,
            plan,
            (lambda version: not_loaded(server, model, version)) if server else None,
        )
        with alone(folder):
            bad = _run(controller, console, once, follow, poll)
        if mirror is not None and (told := mirror.wait(_REGISTRY_SECONDS)):
            console.print(told, style="yellow", markup=False, soft_wrap=True)
    except (SettingsError, ReleaseError, ValueError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        told = f"{error.filename or 'a file'} cannot be used: {error.strerror or error}"
        console.print(f"{told}. The trial stands as it is", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("Stopped. The trial stands as it is; start rollout again to go on.")
        sys.exit(130)
    sys.exit(3 if bad else 0)


def line(turn: Turn) -> Text:
    """What a turn saw and did, on one line."""
    trial, decision = turn.trial, turn.decision
    share = f" {trial.percent} %" if trial.percent else ""
    told = Text(f"version {trial.version} {trial.state}{share}", style="bold")
    if trial.state == "canary":
        measured = turn.evidence.numbers()
        for name in ("canary", "stable"):
            numbers = measured[name]
            parts = [f"{numbers['requests']} requests", f"{numbers['errors']} errors"]
            if "p99_ms" in numbers:
                parts.append(f"p99 {numbers['p99_ms']} ms")
            told.append(f"  {name}: {', '.join(parts)}", style="not bold")
        if "psi" in measured:
            told.append(f"  PSI {measured['psi']:.2f}", style="not bold")
    arrow = ""
    if decision.action == "advance":
        arrow = {0: "available: ", 100: "stable: "}.get(decision.percent, f"{decision.percent} %: ")
        arrow = f"→ {arrow}"
    elif decision.action == "roll back":
        arrow = "rolled back: " if turn.done else "to be rolled back: "
    told.append(f"  {arrow}{decision.why}", style=f"not bold {_STYLES[decision.action]}")
    return told


def _run(controller: Controller, console: Console, once: bool, follow: bool, poll: float) -> bool:
    """Runs the trial; returns whether a version was rolled back."""
    if not console.is_terminal:
        _log_lines()
    if once:
        turn = controller.once()
        console.print("No version is on trial." if turn is None else line(turn), soft_wrap=True)
        return turn is not None and turn.done and turn.decision.action == "roll back"
    bad, seen = False, False
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(Live(console=console, transient=True, auto_refresh=False))
        for turn in controller.turns(poll, follow):
            seen = True
            bad |= turn.done and turn.decision.action == "roll back"
            if turn.done:
                console.print(line(turn), soft_wrap=True)
            elif console.is_terminal:
                live.update(line(turn), refresh=True)
    if not seen:
        console.print("No version is on trial.")
    return bad


def _log_lines() -> None:
    """Writes each transition as one line of JSON to standard output, where nobody watches."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in ("serving.releases", "serving.rollout"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False


def _shares(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--steps is {text!r}: expected shares such as 1,10,50") from None
