"""What ``init`` shows: the tables it found, and what becomes of each column."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as Grid

from components.ingest.durations import format_duration, format_instant
from pipeline.init import windows
from pipeline.init.columns import Use
from pipeline.init.database import MOST
from pipeline.init.judge import Part


def tables(console: Console, parts: Sequence[Part], others: Mapping[str, str]) -> None:
    """Shows each table and the part it plays.

    Args:
      console: where to.
      parts: the tables that are used.
      others: by table that is not, the reason.
    """
    grid = _grid("table", "rows", "is", "entity", "time", "from", "to", "every")
    for part in parts:
        rows = f"{part.table.rows:,}{'+' if part.table.rows == MOST else ''}"
        cells = [part.table.name, rows, part.role, part.entity]
        if part.times is not None and part.course is not None:
            known = f", known at {part.times.known_at}" if part.times.known_at else ""
            cells += [part.times.time + known]
            cells += [format_instant(at)[:10] for at in (part.course.begin, part.course.end)]
            regular = part.course.regular and part.course.interval
            cells += [format_duration(windows.nearest(part.course.interval)) if regular else ""]
        grid.add_row(*map(escape, cells))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))
    for name, why in others.items():
        console.print(f"  [dim]{escape(name)}: left out: {escape(why)}[/]", soft_wrap=True)


def uses(console: Console, found: Sequence[Use]) -> None:
    """Shows what becomes of each column, and why some are left out."""
    grid = _grid("table", "column", "used as", "why")
    last = ""
    for use in found:
        name = "" if use.source == last else use.source
        last = use.source
        what = escape(use.use) if use.use else "[yellow]left out[/]"
        grid.add_row(escape(name), escape(use.column), what, escape(use.reason))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))


def _grid(*headings: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    return grid
