"""The verb ``monitor``: whether what is served still is what the model was trained on."""

import json
import pathlib
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.curated_schema.schema_file import SchemaError
from components.ingest.durations import parse_duration, parse_instant
from components.ingest.errors import DataError
from observability.quiet import quiet_import
from pipeline.settings import Settings, SettingsError, load_settings
from serving.folders import write_atomically
from serving.releases import ReleaseError

MOVED = 3
"""The exit code where something moved."""
_NEAREST = 5


@click.command()
@click.option("--until", metavar="T", help="The stretch's end, ISO 8601. Default: now.")
@click.option("--since", metavar="T", help="Its beginning; by default --window before its end.")
@click.option(
    "--window",
    "--last",
    "window",
    metavar="D",
    help="How long it is, such as 24h or 7d. Default: monitoring.drift.window.",
)
@click.option("--all", "everything", is_flag=True, help="Show what did not move, too.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output instead.")
@click.option(
    "--retrain/--no-retrain",
    default=None,
    help="Start a run where something moved, or not. Default: monitoring.drift.retrain.",
)
@click.pass_obj
def command(
    settings_path: str,
    until: str | None,
    since: str | None,
    window: str | None,
    everything: bool,
    as_json: bool,
    retrain: bool | None,
) -> None:
    """Compare what was served with what the model was trained on, and with the time before.

    Reads what the server kept (serving.sampling), measures features, predictions and, once labels
    are there, the model's quality, and writes metrics, var/monitor/drift.json and a page,
    var/monitor/drift.html. What may move how far stands under monitoring.drift in the settings.

    Ends with 0 if nothing moved or too little was served to say, with 3 if something moved, and
    with 1 if it could not look.
    """
    console = Console(stderr=as_json, highlight=False)
    if since is not None and window is not None:
        raise click.UsageError("--since and --window exclude each other")
    try:
        settings = load_settings(pathlib.Path(settings_path))
        end = time.time_ns() // 1000 if until is None else _read(parse_instant, "--until", until)
        size = settings.monitoring.drift.window
        if window is not None:
            size = _read(parse_duration, "--window", window)
        begin = end - size if since is None else _read(parse_instant, "--since", since)
        if not begin < end:
            raise click.UsageError("the stretch must begin before it ends")
        moved = _monitor(settings, settings_path, console, begin, end, everything, as_json, retrain)
    except (SettingsError, SchemaError, ReleaseError, DataError, OSError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    sys.exit(MOVED if moved else 0)


def _monitor(
    settings: Settings,
    settings_path: str,
    console: Console,
    begin: int,
    end: int,
    everything: bool,
    as_json: bool,
    retrain: bool | None,
) -> bool:
    """Looks, tells and retrains; returns whether something moved."""
    if settings.serving.sampling is None:
        raise ReleaseError(
            "the server keeps no requests: add serving.sampling to the settings, such as "
            "`sampling: {rate: 0.1}`, and start it again"
        )
    # What Google's libraries say of Pythons is no news.
    warnings.simplefilter("ignore", FutureWarning)
    with console.status("reading what was served …"):
        # They import TFDV and with it TensorFlow, which takes longer than all the rest.
        with quiet_import():
            from pipeline.metrics.publish import publish
            from pipeline.monitor import page
            from pipeline.monitor import retrain as retraining
            from pipeline.monitor.baseline import read_baseline
            from pipeline.monitor.look import Window, look

        seen = look(settings, read_baseline(settings), Window(begin, end))
    folder = pathlib.Path(settings.run.directory) / "monitor"
    folder.mkdir(parents=True, exist_ok=True)
    document = seen.document()
    write_atomically(folder / "drift.json", json.dumps(document, indent=1) + "\n")
    write_atomically(folder / "drift.html", page.render(settings, seen))
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        _show(console, document, everything)
        console.print(f"[dim]{folder / 'drift.html'}[/]")
    for told in publish(settings, seen.samples(time.time()), "monitor"):
        console.print(told, style="yellow", markup=False, soft_wrap=True)
    how = settings.monitoring.drift.retrain
    if seen.moved and (retrain or (retrain is None and how != "no")):
        told = retraining.retrain(
            "run" if how == "no" else how,
            settings_path,
            folder / "retrain.json",
            time.time_ns() // 1000,
            settings.monitoring.drift.retrain_every,
            seen.moved,
        )
        console.print(told, style="bold", markup=False, soft_wrap=True)
    return bool(seen.moved)


def _show(console: Console, told: dict[str, Any], everything: bool) -> None:
    console.print(
        f"[bold]{told['begin']} to {told['end']}[/]  against version {told['version']}: "
        f"{told['examples']:,} examples of {told['requests']:,} requests, about as telling as "
        f"{told['effective_entities']:g} entities",
        soft_wrap=True,
    )
    comparisons = told["comparisons"]
    moved = [one for one in comparisons if one["moved"]]
    shown = comparisons if everything else comparisons[: len(moved) + _NEAREST]
    if shown:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for heading in ("", "feature", "kind"):
            table.add_column(heading, no_wrap=True)
        for heading in ("distance", "allowed", "chance"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("seen")
        for one in shown:
            numbers = (f"{one[name]:.3f}" for name in ("distance", "allowed", "chance"))
            mark = "[bold red]✗[/]" if one["moved"] else "[green]✓[/]"
            texts = map(escape, (one["feature"], one["kind"]))
            table.add_row(mark, *texts, *numbers, escape(one["seen"]))
        console.print(table)
    quality = told["quality"]
    if quality is not None:
        of = f"{quality['labelled']:,} of {quality['answers']:,} answers have their label"
        why = f"; {quality['told']}" if quality["told"] else ""
        value = f" {quality['score']['value']:.3f}" if quality["score"] else ""
        console.print(f"{quality['metric']}{value}: {of}{why}", markup=False, soft_wrap=True)
    for note in told["notes"]:
        console.print(note, style="yellow", markup=False, soft_wrap=True)
    line = {
        "moved": f"[bold red]{len(moved)} of {len(comparisons)} comparisons moved[/]",
        "quiet": f"[bold green]Quiet: none of {len(comparisons)} comparisons moved[/]",
        "too few": "[bold yellow]Too few examples to say anything[/]",
    }
    console.print(line[told["state"]])


def _read(read: Callable[[str], int], option: str, text: str) -> int:
    try:
        return read(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from None
