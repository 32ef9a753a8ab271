"""``schema infer``, ``diff`` and ``accept``."""

import os
import pathlib
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from observability.quiet import quiet_import
from pipeline.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

_COLOURS = {"new": "green", "gone": "red", "changed": "yellow"}


class SchemaVerbError(Exception):
    """Why a schema verb can't do its work, and how to mend it."""


def proposed_file(settings: Settings) -> pathlib.Path:
    """Where ``infer`` puts its proposal."""
    return pathlib.Path(settings.run.directory) / "schema" / "proposed.pbtxt"


def infer(
    settings: Settings,
    console: Console,
    statistics: pathlib.Path | None = None,
    afresh: bool = False,
) -> int:
    """Proposes a schema from statistics.

    Args:
      settings: the project's settings.
      console: where to write.
      statistics: the folder of StatisticsGen's output; None for the newest run's.
      afresh: whether to leave the curated schema out of account.

    Returns:
      0.

    Raises:
      SchemaVerbError: if there are no statistics.
      SchemaError: if the curated schema cannot be read.
    """
    from google.protobuf import text_format

    from components.anomaly_gate.statistics_files import read_statistics
    from pipeline.schema.facts import facts

    folder = statistics or newest_statistics(settings)
    numbers = read_statistics(folder)
    if not numbers:
        raise SchemaVerbError(
            f"{folder}: no statistics lie in it (Split-*/FeatureStats.pb). Name the folder of "
            "StatisticsGen's output, or leave --statistics out"
        )
    curated = None if afresh else _curated(settings)
    with console.status("inferring …"), quiet_import(), warnings.catch_warnings():
        # Imported here: it pulls in TensorFlow, whose warnings a user can do nothing about.
        warnings.simplefilter("ignore")
        from pipeline.schema.propose import propose

        schema = propose(numbers, facts(settings), curated)
    target = proposed_file(settings)
    _write(target, text_format.MessageToString(schema))
    console.print(f"[green]✓[/] {len(schema.feature)} columns, from {os.path.relpath(folder)}")
    changed = diff(settings, console)
    if changed:
        console.print(f"Proposed in {target}. To take it over: python -m pipeline schema accept")
    return 0


def diff(settings: Settings, console: Console) -> int:
    """Shows how the proposal differs from the curated schema.

    Args:
      settings: the project's settings.
      console: where to write.

    Returns:
      How many differences there are.

    Raises:
      SchemaVerbError: if nothing is proposed.
      SchemaError: if one of the two cannot be read.
    """
    from components.curated_schema.schema_file import read_schema
    from pipeline.schema.compare import compare

    changes = compare(_curated(settings), read_schema(_existing_proposal(settings)))
    if not changes:
        console.print(f"[green]✓[/] {settings.schema_file} needs no change")
        return 0
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("", "column", "what", "now", "proposed"):
        table.add_column(heading, overflow="fold")
    for change in changes:
        kind = "changed"
        if change.what == "column":
            kind = "gone" if change.before else "new"
        cells = [kind, *change]
        styles = [_COLOURS[kind]] * 2 + [""] * 3
        table.add_row(*(Text(cell, style) for cell, style in zip(cells, styles, strict=True)))
    console.print(table)
    return len(changes)


def accept(settings: Settings, console: Console, yes: bool) -> int:
    """Takes the proposal over into the curated schema, once it is agreed to.

    Args:
      settings: the project's settings.
      console: where to write.
      yes: whether it is agreed to already.

    Returns:
      0 if the curated schema is as proposed, 1 if it was declined.

    Raises:
      SchemaVerbError: if nothing is proposed, or the file can't be written.
      SchemaError: if one of the two cannot be read.
    """
    from components.curated_schema.schema_file import parse_schema, read_schema
    from pipeline.schema.compare import compare
    from pipeline.schema.text import merge

    if not diff(settings, console):
        return 0
    if not yes and not click.confirm(f"Write this to {settings.schema_file}?"):
        console.print("Left as it was.")
        return 1
    proposed = read_schema(_existing_proposal(settings))
    path = pathlib.Path(settings.schema_file)
    text = merge(path.read_text(encoding="utf-8") if path.exists() else None, proposed)
    if compare(proposed, parse_schema(text, str(path))):
        # Says the same at any price: comments are worth less than a right schema.
        text = merge(None, proposed)
    try:
        _write(path, text)
    except OSError as error:
        raise SchemaVerbError(f"{path}: cannot be written: {error.strerror}") from None
    console.print(f"[green]✓[/] {path} written; look at it, and commit it")
    return 0


def newest_statistics(settings: Settings) -> pathlib.Path:
    """The newest statistics of joined examples on this machine.

    Raises:
      SchemaVerbError: if no run has made any.
    """
    # Imported here: it pulls in ML Metadata.
    from pipeline.history import latest_artifact

    database = pathlib.Path(settings.run.directory) / "metadata.db"
    folder = latest_artifact(database, "StatisticsGen", "statistics")
    if folder is None:
        raise SchemaVerbError(
            "no run has made statistics yet: `python -m pipeline schema infer` makes them"
        )
    return folder


def _curated(settings: Settings) -> "schema_pb2.Schema | None":
    from components.curated_schema.schema_file import read_schema

    path = pathlib.Path(settings.schema_file)
    return read_schema(path) if path.exists() else None


def _existing_proposal(settings: Settings) -> pathlib.Path:
    path = proposed_file(settings)
    if not path.exists():
        raise SchemaVerbError(f"{path}: nothing is proposed yet: `python -m pipeline schema infer`")
    return path


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


@click.group()
def command() -> None:
    """Infer, compare and accept the data's schema."""


@command.command("infer")
@click.option(
    "--statistics",
    type=click.Path(exists=True, file_okay=False, path_type=pathlib.Path),
    help="The folder of StatisticsGen's output. Default: run the pipeline up to it.",
)
@click.option("--afresh", is_flag=True, help="Leave the curated schema out of account.")
@click.pass_obj
def infer_command(settings_path: str, statistics: pathlib.Path | None, afresh: bool) -> None:
    """Propose a schema from the data; what people curated stays where the data fits.

    Reads, joins and counts first, as `run --to StatisticsGen` does; what is unchanged is cached.
    """
    from pipeline.local.command import run

    if statistics is None:
        code = run(settings_path, Console(), to_nodes=["StatisticsGen"])
        if code:
            sys.exit(code)
    _call(settings_path, lambda settings, console: infer(settings, console, statistics, afresh))


@command.command("diff")
@click.pass_obj
def diff_command(settings_path: str) -> None:
    """Show how the proposal differs from the curated schema. Ends with 1 if it does."""
    _call(settings_path, lambda settings, console: 1 if diff(settings, console) else 0)


@command.command("accept")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def accept_command(settings_path: str, yes: bool) -> None:
    """Write the proposal to the curated schema; comments stay."""
    _call(settings_path, lambda settings, console: accept(settings, console, yes))


def _call(settings_path: str, verb: Callable[[Settings, Console], int]) -> None:
    from components.curated_schema.schema_file import SchemaError

    console = Console()
    try:
        code = verb(load_settings(settings_path), console)
    except (SettingsError, SchemaError, SchemaVerbError, ValueError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        code = 1
    sys.exit(code)
