"""The verb ``versions``: the model's released versions."""

import pathlib
import sys

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.ingest.durations import parse_instant
from pipeline.settings import SettingsError, load_settings
from serving.registry.standing import behind
from serving.releases import (
    AVAILABLE,
    CANARY,
    FOUND,
    QUARANTINED,
    STABLE,
    STAGED,
    ReleaseError,
    Releases,
    Status,
)

_STYLES = {STABLE: "green", CANARY: "yellow", AVAILABLE: "yellow", QUARANTINED: "red"}

_NEVER = "1970-01-01"


@click.command()
@click.option("--since", metavar="T", help="End with 1 unless one was pushed since (ISO 8601).")
@click.pass_obj
def command(settings_path: str, since: str | None) -> None:
    """List the model's released versions, what each was trained on, and which one serves.

    With --since it is a gate for continuous integration: a run may succeed and push nothing,
    because its model was not good enough.
    """
    try:
        begin = None if since is None else parse_instant(since)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    console = Console()
    try:
        settings = load_settings(pathlib.Path(settings_path))
        releases = Releases(settings.serving.model_directory)
        versions, statuses = releases.versions(), releases.statuses()
        # A version that serves but is gone is an error to tell.
        releases.stable()
    except (SettingsError, ReleaseError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    if not versions:
        console.print(
            f"No version in {escape(settings.serving.model_directory)} yet: python -m pipeline run"
        )
        sys.exit(begin is not None)
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
        status = statuses[version.number]
        text = escape(f"{version.number} {_state(status)}".rstrip())
        style = _STYLES.get(status.state)
        table.add_row(
            f"[{style}]{text}[/]" if style else text,
            _minute(lineage.get("as_of", "")),
            _minute(release.get("created", "")),
            metrics,
        )
    console.print(table)
    for number, status in reversed(statuses.items()):
        if status.state == QUARANTINED:
            why = status.why or "no reason was kept"
            console.print(
                f"{number} is quarantined because {why}",
                style="red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    if settings.registry is not None and (told := behind(releases)):
        console.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if begin is not None and not any(
        parse_instant(version.release.get("created", _NEVER)) >= begin
        and statuses[version.number].state != QUARANTINED
        for version in versions
    ):
        console.print(
            f"No version was pushed since {since}: Evaluator or ServingGate did not bless it, and "
            "their log says why",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(1)


def _state(status: Status) -> str:
    if status.state == CANARY:
        return f"canary {status.percent} %"
    told = {STABLE: "serves", FOUND: "not ours"}
    shown = (STAGED, AVAILABLE, QUARANTINED)
    return told.get(status.state, status.state if status.state in shown else "")


def _minute(instant: object) -> str:
    """``2025-04-17T06:00:00Z`` as ``2025-04-17 06:00``, all times being UTC."""
    return str(instant)[:16].replace("T", " ")
