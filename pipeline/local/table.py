"""The live table of stages."""

import time

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.local.events import Event, State

_MARKS: dict[State, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "running": ("…", "cyan"),
    "done": ("✓", "green"),
    "cached": ("=", "blue"),
    "failed": ("✗", "bold red"),
    "skipped": ("-", "dim"),
    "stopped": ("■", "yellow"),
}


class StageTable:
    """What is known of each stage; rich draws it again as often as it is asked."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.seconds: dict[str, float] = {}
        self.edges: list[list[str]] = []
        self.texts: dict[str, str] = {}
        self._running_since: dict[str, float] = {}
        self._phase = "starting (importing TFX takes ten seconds and more)"
        self._began = time.monotonic()
        self._spinner = Spinner("dots", style="cyan")

    def apply(self, event: Event) -> None:
        """Takes in one event."""
        if event.kind == "phase":
            self._phase, self._began = event.text, time.monotonic()
        elif event.kind == "plan":
            self._phase = ""
            self.states = dict.fromkeys(event.nodes, "waiting")
            self.edges = sorted(event.edges)
        elif event.kind == "progress":
            self.texts[event.node] = event.text
        elif event.kind == "stage":
            self.states[event.node] = event.state
            self.seconds[event.node] = event.seconds
            self.texts[event.node] = event.text
            if event.state == "running":
                self._running_since[event.node] = time.monotonic() - event.seconds

    def end_running(self, state: State) -> None:
        """Marks the stages that were running when the run ended early."""
        for node, known in self.states.items():
            if known == "running":
                self.states[node] = state
                self.seconds[node] = time.monotonic() - self._running_since[node]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws the table as it stands."""
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for node, state in self.states.items():
            mark, style = _MARKS[state]
            seconds = self.seconds.get(node, 0.0)
            if state == "running":
                seconds = time.monotonic() - self._running_since[node]
            shown = "" if state in ("waiting", "skipped") else f"{seconds:.1f} s"
            first: Text | Spinner = self._spinner if state == "running" else Text(mark, style)
            text = self.texts.get(node, "")
            if state == "cached":
                text = f"cached: {text}" if text else "cached"
            table.add_row(first, Text(node, style), Text(shown, "dim"), Text(text))
        if self._phase:
            waited = f"{self._phase} … {time.monotonic() - self._began:.0f} s"
            yield Group(Text(waited, "dim"), table)
        else:
            yield table


def live(table: StageTable, console: Console) -> Live:
    """A display that is drawn anew eight times a second on a terminal, once elsewhere."""
    return Live(table, console=console, refresh_per_second=8, transient=True)


def print_line(console: Console, event: Event) -> None:
    """What a terminal's table would show of an event, as one line of a log."""
    if event.kind == "phase":
        console.print(f"[dim]{escape(event.text)} …[/]")
    elif event.kind == "stage" and event.state != "running":
        text = f"  {event.text}" if event.text else ""
        console.print(
            f"{event.state:8}{event.node}  {event.seconds:.1f} s{text}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
