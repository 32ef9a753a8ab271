"""The verb ``check``: whether the settings hold, and whether each source answers."""

import dataclasses
import pathlib
import sys
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from components.ingest.durations import format_duration, format_instant
from components.ingest.errors import DataError
from components.ingest.kinds import AnySource
from components.ingest.plan import FAR_FUTURE, Times
from components.ingest.sensor.source import SensorSource
from components.ingest.source import RowSource
from components.ingest.spans.days import DAY, times_of
from components.ingest.split import DataWindow, EntitySplit, data_window
from pipeline.settings import Settings, SettingsError, load_settings
from pipeline.settings.features import expand, near
from pipeline.settings.windows import made_columns

ROWS = 20
_GOOD, _BAD, _NOTE = "[green]✓[/]", "[bold red]✗[/]", "[yellow]![/]"


@dataclasses.dataclass(frozen=True)
class Look:
    """What a source's first rows show.

    Attributes:
      place: where it lies, without a password.
      columns: by column its type and its first value as text.
      used: by column what the settings use it for.
    """

    place: str
    columns: dict[str, tuple[str, str]]
    used: dict[str, str]


@click.command()
@click.option("--as-of", help="Stand at this time instead of the one that the settings say.")
@click.pass_obj
def command(settings_path: str, as_of: str | None) -> None:
    """Validate the settings and try each source: connect, read a few rows, show their columns.

    Ends with 1 if anything fails.
    """
    console = Console()
    try:
        settings = load_settings(pathlib.Path(settings_path))
    except SettingsError as error:
        _say(console, _BAD, "settings", str(error))
        sys.exit(1)
    sys.exit(check(settings, console, as_of))


def check(settings: Settings, console: Console, as_of: str | None = None) -> int:
    """Tries everything that a run needs and can be tried quickly.

    Args:
      settings: the project's settings.
      console: where to write.
      as_of: a time that takes the place of the settings'.

    Returns:
      0 if all is well, else 1. A schema that isn't there yet is no failure.
    """
    sources = ", ".join(settings.sources)
    _say(console, _GOOD, "settings", f"{settings.project.name}: sources {sources}")
    failures = 0
    window = None
    try:
        window = _window(settings, as_of)
    except (DataError, ValueError) as error:
        failures += 1
        _say(console, _BAD, "time", str(error))
    else:
        _say(console, _GOOD, "time", f"as of {format_instant(window.as_of)}")
        console.print(Padding(_window_table(settings, window), (0, 0, 0, 4)))
    for name in settings.sources:
        failures += not _try_source(settings, name, window, console)
    for name in settings.collect:
        failures += not _try_stream(settings, name, console)
    return 1 if failures + _try_schema(settings, console) else 0


def _say(console: Console, mark: str, what: str, text: str) -> None:
    console.print(
        f"{mark} [bold]{escape(what)}[/]  {escape(text)}", highlight=False, soft_wrap=True
    )


def _window(settings: Settings, as_of: str | None) -> DataWindow:
    # Imported here: it pulls in the metadata store, which only some verbs need.
    from pipeline.local.plan import resolve_as_of

    instant = resolve_as_of(settings, as_of)
    return data_window(instant, settings.split, settings.label.horizon)


def _window_table(settings: Settings, window: DataWindow) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    horizon = settings.label.horizon
    stretches = [("train", window.train_begin, window.train_end)]
    if isinstance(settings.split, EntitySplit):
        share = f"{settings.split.eval:.0%} of the entities"
        stretches = [(f"train and eval ({share})", window.begin, window.end)]
    else:
        if horizon:
            stretches.append(("embargo", window.train_end, window.eval_begin))
        stretches.append(("eval", window.eval_begin, window.eval_end))
    if horizon:
        stretches.append(("labels not settled", window.eval_end, window.as_of))
    for name, begin, end in stretches:
        table.add_row(
            name, f"{format_instant(begin)} to {format_instant(end)}", format_duration(end - begin)
        )
    return table


def _try_source(settings: Settings, name: str, window: DataWindow | None, console: Console) -> bool:
    source = settings.sources[name]
    try:
        with console.status(f"trying {escape(name)} …"):
            look = _look(settings, name, source, window)
    except DataError as error:
        # The message begins with the source's name, which stands in front already.
        _say(console, _BAD, name, str(error).removeprefix(f"{name}: "))
        return False
    _say(console, _GOOD, name, f"{source.kind}, {look.place}")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("column", "type", "first value", "used as"):
        table.add_column(heading)
    for column, (kind, value) in look.columns.items():
        table.add_row(escape(column), escape(kind), escape(value), look.used.get(column, ""))
    console.print(Padding(table, (0, 0, 0, 4)))
    made = made_columns(name, source)
    if made:
        shown = ", ".join(made[:3]) + (f" … {made[-1]}" if len(made) > 3 else "")
        console.print(f"    [dim]makes {len(made)} columns: {escape(shown)}[/]", soft_wrap=True)
    return True


def _try_stream(settings: Settings, name: str, console: Console) -> bool:
    from pipeline.collect.connect import try_broker
    from pipeline.collect.messages import StreamError

    what = f"collect.{name}"
    try:
        with console.status(f"trying {escape(what)} …"):
            _say(console, _GOOD, what, try_broker(settings.collect[name]))
    except StreamError as error:
        _say(console, _BAD, what, str(error))
        return False
    return True


def _look(settings: Settings, name: str, source: AnySource, window: DataWindow | None) -> Look:
    """Reads a source's first rows.

    Raises:
      DataError: if it cannot be read, or lacks a column that the settings name.
    """
    if isinstance(source, RowSource):
        spine = name == settings.spine
        times = Times(0, FAR_FUTURE, FAR_FUTURE)
        if window is not None:
            begin = window.begin - (0 if spine else source.lookback)
            times = Times(begin, window.end, window.as_of)
        first = source.preview(name, times, ROWS)
        columns = {c: (k, _first_value(first.table, c, k)) for c, k in first.types.items()}
        if source.incremental is not None:
            newest = times.end // DAY
            source.day_watermarks(name, [times_of(range(newest - 1, newest))])
        if spine:
            _needs(name, "label.name", settings.label.name, columns)
        for index, event_window in enumerate(source.windows):
            for column in event_window.aggregate:
                _needs(name, f"sources.{name}.windows[{index}].aggregate", column, columns)
        return Look(source.place(name), columns, _row_uses(settings, source, spine))

    from components.ingest.sensor.preview import preview

    seen = preview(source, ROWS, name)
    place = f"{seen.files:,} files, {seen.bytes / 1e6:,.1f} MB"
    columns = {c: (kind, _first_value(seen.rows, c)) for c, kind in seen.columns.items()}
    return Look(place, columns, _sensor_uses(source))


def _first_value(table: Any, column: str, kind: str = "") -> str:
    if column not in table.column_names:
        return ""
    value = next((v.as_py() for v in table.column(column) if v.is_valid), None)
    if kind == "time" and isinstance(value, int):
        return format_instant(value)
    text = "" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _needs(name: str, setting: str, column: str, columns: dict[str, Any]) -> None:
    if column not in columns:
        raise DataError(
            name,
            f"column {column!r}",
            f"the source doesn't give it{near(column, columns)}",
            f"It gives {', '.join(columns)}. Mend the source or {setting}",
        )


def _row_uses(settings: Settings, source: RowSource, spine: bool) -> dict[str, str]:
    used: dict[str, str] = {}
    for window in source.windows:
        for column, aggregates in window.aggregate.items():
            told = f"{', '.join(aggregates)} over {format_duration(window.size)}"
            used[column] = f"{used[column]}; {told}" if column in used else told
    used |= {source.entity: "entity", source.time: "time"}
    if source.known_at:
        used[source.known_at] = "known at"
    if spine:
        used[settings.label.name] = "label"
    return used


def _sensor_uses(source: SensorSource) -> dict[str, str]:
    named = {
        source.entity: "entity",
        source.time.column: "time",
        source.channel: "channel",
        source.value: "value",
        source.time.received_at: "received at",
        source.gateway: "gateway",
    }
    for name, channel in source.channels.items():
        named[channel.unit_column] = "unit"
        if source.layout == "wide":
            named[channel.column or name] = f"channel {name}"
    return {column: use for column, use in named.items() if column is not None}


def _try_schema(settings: Settings, console: Console) -> int:
    """Holds features and slices against the schema; returns how many problems there are."""
    from components.curated_schema import schema_file

    path = settings.schema_file
    if not pathlib.Path(path).exists():
        missing = f"{path} isn't there yet: `python -m pipeline schema infer`, then `accept`"
        _say(console, _NOTE, "schema", missing)
        return 0
    try:
        columns = schema_file.columns(schema_file.read_schema(path))
    except schema_file.SchemaError as error:
        _say(console, _BAD, "schema", str(error))
        return 1
    kinds, errors = expand(settings.features, columns, settings.reserved_columns)
    problems = [str(error) for error in errors]
    if not kinds and not errors:
        problems.append("features: no column of the schema is left to be one")
    if settings.label.name not in columns:
        problems.append(f"label {settings.label.name!r} isn't in it")
    for index, names in enumerate(settings.evaluation.slices):
        for name in names:
            where = f"evaluation.slices[{index}]: {name!r}"
            if name not in columns:
                problems.append(f"{where} is no column of the schema{near(name, columns)}")
            elif columns[name].type == "float":
                problems.append(f"{where} is float; expected text or int, else each value is one")
    for problem in problems:
        _say(console, _BAD, "schema", f"{path}: {problem}")
    if not problems:
        counted = ", ".join(
            f"{count} {kind}"
            for kind in ("numeric", "categorical", "bucketized")
            if (count := sum(k == kind for k in kinds.values()))
        )
        _say(console, _GOOD, "schema", f"{path}: {len(columns)} columns; features: {counted}")
    return len(problems)
