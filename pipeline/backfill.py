"""The verb ``backfill``: the days of a range read and kept, ahead of the runs that need them."""

import contextlib
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from components.ingest.durations import format_duration
from components.ingest.errors import DataError
from components.ingest.source import RowSource
from components.ingest.spans.days import DAY, read_day, stretches, write_day
from components.ingest.spans.store import Day, DayStore
from components.ingest.split import data_window
from pipeline.interrupt import interruptible
from pipeline.settings import Settings, SettingsError, load_settings

STEP = 7
"""Days that one query reads; they are kept together, so that a stop loses less than these."""


@click.command()
@click.option("--begin", required=True, metavar="DAY", help="The first day, such as 2025-01-01.")
@click.option("--end", required=True, metavar="DAY", help="The last day; it is read too.")
@click.option("--source", "names", metavar="NAME", multiple=True, help="Only this source.")
@click.option("--reread", is_flag=True, help="Read the days that are kept already, too.")
@click.pass_obj
def command(settings_path: str, begin: str, end: str, names: tuple[str, ...], reread: bool) -> None:
    """Read and keep the days of a range, of all sources with `incremental` or those named.

    Days that are kept and have not changed are left, so that calling it again after Ctrl-C goes on.
    With --reread all are read, for rows that changed where no watermark could see it.
    """
    console = Console()
    try:
        settings = load_settings(pathlib.Path(settings_path))
        days = range(read_day(begin), read_day(end) + 1)
        if not days:
            raise ValueError(f"--end {end} lies before --begin {begin}")
        code = backfill(settings, _chosen(settings, names), days, reread, console)
    except (SettingsError, DataError, OSError, ValueError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        code = 1
    sys.exit(code)


def backfill(
    settings: Settings, names: Sequence[str], days: range, reread: bool, console: Console
) -> int:
    """Reads days source by source.

    Args:
      settings: the project's settings.
      names: the sources.
      days: the days, by number.
      reread: whether days that are kept are read too.
      console: where progress is shown.

    Returns:
      0; 130 where it was interrupted.

    Raises:
      DataError: if a source can't be read. The days that were read before are kept.
    """
    for name in names:
        source = settings.sources[name]
        assert isinstance(source, RowSource)
        horizon = settings.label.horizon if name == settings.spine else 0
        began, read = time.monotonic(), list[Day]()
        try:
            with interruptible(), _shown(console, name) as progress:
                for step, wanted in _days(name, source, days, horizon, reread):
                    read += step
                    progress.update(progress.task_ids[0], completed=len(read), total=wanted)
        except KeyboardInterrupt:
            left = write_day(read[-1].day + 1 if read else days.start)
            on = f" with --source {name} --begin {left}" if reread else ""
            console.print(
                f"[yellow]Stopped.[/] {len(read)} days of {escape(name)} were read and are kept. "
                f"Run again{escape(on)} to go on.",
                highlight=False,
                soft_wrap=True,
            )
            return 130
        rows = sum(day.rows for day in read)
        console.print(
            f"[bold]{escape(name)}[/]  {len(read)} days read ({rows:,} rows), "
            f"{len(days) - len(read)} unchanged, {time.monotonic() - began:.1f} s",
            highlight=False,
            soft_wrap=True,
        )
        _warn_of_pruning(settings, name, source, days, console)
    return 0


def _chosen(settings: Settings, names: Sequence[str]) -> list[str]:
    kept = [
        name
        for name, source in settings.sources.items()
        if isinstance(source, RowSource) and source.incremental is not None
    ]
    for name in names:
        if name not in kept:
            raise ValueError(
                f"--source {name!r} is no source that is read by day; these are: "
                f"{', '.join(kept) or 'none'}. Give it incremental: {{late: 3d}} in the settings"
            )
    if not kept:
        raise ValueError(
            "no source is read by day: give one incremental: {late: 3d} in the settings "
            "(docs/incremental.md)"
        )
    return list(names) or kept


def _days(
    name: str, source: RowSource, days: range, horizon: int, reread: bool
) -> Iterator[tuple[list[Day], int]]:
    """Reads what is due; yields after each step its days, and how many there are in all."""
    # Imported here: they bring Arrow, and --help is to answer at once.
    from components.ingest.spans.reading import read_stretches
    from components.ingest.spans.refresh import look

    store = DayStore(name, source)
    kept = store.load(days)
    due = look(name, source, days, time.time_ns() // 1000, horizon, reread)
    wanted = due.days(kept)
    replaced = False
    try:
        yield [], len(wanted)
        for stretch in stretches(wanted, STEP):
            replaced = replaced or not kept.keys().isdisjoint(stretch)
            told = (due.watermarks, due.seen)
            yield list(read_stretches(name, source, store, [stretch], *told)), len(wanted)
    finally:
        if replaced:
            store.shelf.renew()


@contextlib.contextmanager
def _shown(console: Console, name: str) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        progress.add_task(f"days of {escape(name)}", total=None)
        yield progress


def _warn_of_pruning(
    settings: Settings, name: str, source: RowSource, days: range, console: Console
) -> None:
    # Imported here: it pulls in the metadata store.
    from pipeline.local.plan import resolve_as_of

    assert source.incremental is not None
    instant = resolve_as_of(settings, None)
    window = data_window(instant, settings.split, settings.label.horizon)
    before = 0 if name == settings.spine else source.lookback
    first = (window.begin - before - source.incremental.keep) // DAY
    if days.start < first:
        console.print(
            f"[yellow]Days before {write_day(first)} go with the next run[/]: they lie more than "
            f"{format_duration(source.incremental.keep)} before its window "
            f"(sources.{escape(name)}.incremental.keep).",
            soft_wrap=True,
            highlight=False,
        )
