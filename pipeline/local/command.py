"""The verb ``run``: the pipeline on this machine, with a live table of its stages."""

import contextlib
import dataclasses
import fcntl
import json
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
from ml_metadata import errors
from rich.console import Console
from rich.markup import escape

from components.curated_schema.schema_file import SchemaError
from components.ingest.durations import format_instant
from components.ingest.errors import DataError
from pipeline import history
from pipeline.interrupt import interruptible
from pipeline.local import plan as planning
from pipeline.local.events import Event
from pipeline.local.process import StagesProcess
from pipeline.local.run_spans import RunSpans
from pipeline.local.table import StageTable, live, print_line
from pipeline.settings import Settings, SettingsError, load_settings
from serving.releases import ReleaseError


@click.command()
@click.option(
    "--as-of",
    metavar="T",
    help="Stand at this time: an ISO 8601 time, 'now' or 'latest'. Default: as the settings say.",
)
@click.option("--from", "from_nodes", metavar="NODE", multiple=True, help="Begin at this stage.")
@click.option("--to", "to_nodes", metavar="NODE", multiple=True, help="End after this stage.")
@click.option("--no-cache", is_flag=True, help="Run stages whose inputs did not change, too.")
@click.pass_obj
def command(
    settings_path: str,
    as_of: str | None,
    from_nodes: tuple[str, ...],
    to_nodes: tuple[str, ...],
    no_cache: bool,
) -> None:
    """Run the pipeline on this machine: ingest, join, validate, train, evaluate, push.

    Ends with 0 if every stage ran, whether a version was pushed or not, and with 1 if one failed.
    Ctrl-C stops it cleanly; calling it again goes on from what is cached.
    """
    nodes = {"from_nodes": list(from_nodes), "to_nodes": list(to_nodes)}
    sys.exit(run(settings_path, Console(), as_of=as_of, cache=not no_cache, **nodes))


def run(
    settings_path: str,
    console: Console,
    *,
    as_of: str | None = None,
    from_nodes: Sequence[str] = (),
    to_nodes: Sequence[str] = (),
    cache: bool = True,
) -> int:
    """Plans and runs the pipeline; what goes wrong is printed.

    Args:
      settings_path: the settings file.
      console: where the table of stages is drawn.
      as_of: see ``planning.resolve_as_of``.
      from_nodes: the stages to begin at; empty for all.
      to_nodes: the stages to end after; empty for all.
      cache: whether unchanged stages are taken from earlier runs.

    Returns:
      As ``execute``.
    """
    path = pathlib.Path(settings_path)
    with contextlib.ExitStack() as held:
        try:
            settings = load_settings(path)
            held.enter_context(_alone(settings))
            with console.status("looking at the sources …"):
                plan = planning.make(
                    settings,
                    path,
                    as_of=as_of,
                    from_nodes=list(from_nodes),
                    to_nodes=list(to_nodes),
                    cache=cache,
                )
            folder = _make_folder(settings, plan)
        except (SettingsError, SchemaError, DataError, ReleaseError, OSError, ValueError) as error:
            console.print(f"[bold red]{type(error).__name__}[/]")
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)
            return 1
        return execute(settings, plan, folder, console)


def _make_folder(settings: Settings, plan: dict[str, Any]) -> pathlib.Path:
    """Makes the run's folder, with its plan."""
    folder = pathlib.Path(settings.run.directory).absolute() / "runs" / plan["run_id"]
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan, indent=2), encoding="utf-8")
    return folder


def execute(
    settings: Settings, plan: dict[str, Any], folder: pathlib.Path, console: Console
) -> int:
    """Runs a plan in a process of its own and shows its stages.

    Args:
      settings: the project's settings.
      plan: what planning.make settled.
      folder: the run's folder, with the plan.
      console: where the stages are shown.

    Returns:
      0; 1 where a stage failed; 130 where it was interrupted.
    """
    console.print(
        f"[bold]{escape(settings.project.name)}[/] as of {plan['inputs']['as_of']}"
        f"  [dim]run {plan['run_id']}[/]"
    )
    began = time.monotonic()
    table = StageTable()
    _end_executions(plan, table)
    record = RunRecord(folder, plan)
    record.write("running", table)
    outcome = Outcome()
    spans = RunSpans(settings.project.name, plan["run_id"])
    process = StagesProcess(folder)
    with interruptible():
        try:
            with live(table, console) if console.is_terminal else contextlib.nullcontext():
                for event in process.events():
                    table.apply(event)
                    outcome.apply(event)
                    spans.apply(event)
                    if event.kind == "stage":
                        record.write("running", table)
                    if not console.is_terminal:
                        print_line(console, event)
            code = process.wait()
        except KeyboardInterrupt:
            console.print("stopping …")
            process.stop()
            table.end_running("stopped")
            _end_executions(plan, table)
            _print_table(console, table)
            record.write("stopped", table)
            spans.end("stopped")
            console.print("[yellow]Stopped.[/] Run again to go on: finished stages are cached.")
            _write_report(settings, folder, console)
            return 130
    if code:
        # Had the stages' process been killed, its workers would work on.
        process.stop()
        table.end_running("failed")
        _end_executions(plan, table)
    _print_table(console, table)
    record.write("failed" if code else "done", table, outcome)
    spans.end("failed" if code else "done")
    seconds = time.monotonic() - began
    for told in _publish_metrics(settings, folder):
        console.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if code:
        _print_failure(console, outcome, code, folder)
        _write_report(settings, folder, console)
        return 1
    if outcome.decision is not None:
        style = "bold green" if outcome.decision.ok else "bold yellow"
        console.print(f"[{style}]{escape(outcome.decision.text)}[/]")
    console.print(f"[dim]{seconds:.0f} s, log in {_shown(folder / 'log.jsonl')}[/]")
    _write_report(settings, folder, console)
    return 0


def _end_executions(plan: dict[str, Any], table: StageTable) -> None:
    """Tells ML Metadata what has ended without a word, in this run or in one that was lost."""
    stopped = [node for node, state in table.states.items() if state == "stopped"]
    # What is wrong with the store the stages tell.
    with contextlib.suppress(errors.StatusError):
        history.end_executions(pathlib.Path(plan["inputs"]["metadata_path"]), stopped)


@dataclasses.dataclass
class Outcome:
    """What of the events matters in the end."""

    decision: Event | None = None
    error: Event | None = None

    def apply(self, event: Event) -> None:
        """Takes in one event."""
        if event.kind == "decision":
            self.decision = event
        elif event.kind == "error":
            self.error = event


def _now() -> str:
    return format_instant(time.time_ns() // 1000)


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """``run.json`` in the run's folder: what later runs and reports read of this one."""

    folder: pathlib.Path
    plan: dict[str, Any]
    began: str = dataclasses.field(default_factory=_now)

    def write(self, state: str, table: StageTable, outcome: Outcome | None = None) -> None:
        """Writes it anew; a reader sees the old one or the new one, never half of one."""
        fields = {
            "run_id": self.plan["run_id"],
            "state": state,
            "as_of": self.plan["inputs"]["as_of"],
            "began": self.began,
            "ended": _now() if state != "running" else None,
            "nodes": table.states,
            "seconds": table.seconds,
            "edges": table.edges,
            "results": table.texts,
            "decision": outcome.decision.text if outcome and outcome.decision else "",
            "error": outcome.error.text if outcome and outcome.error else "",
        }
        staged = self.folder / ".run.json"
        # On a full disk what the stages tell must still reach the screen.
        with contextlib.suppress(OSError):
            staged.write_text(json.dumps(fields, indent=2), encoding="utf-8")
            staged.replace(self.folder / "run.json")


def _publish_metrics(settings: Settings, folder: pathlib.Path) -> list[str]:
    """Tells Prometheus of the run; returns what went wrong, which must not fail the run."""
    from pipeline.metrics import publish, run

    try:
        samples, problems = run.of(folder, settings.monitoring.success_within)
        return problems + publish.publish(settings, samples)
    except Exception as error:
        return [f"metrics not told: {type(error).__name__}: {error}"]


def _write_report(settings: Settings, folder: pathlib.Path, console: Console) -> None:
    """Writes the run's page and says where; what goes wrong is told and does not fail the run."""
    from pipeline.report import report

    began = time.monotonic()
    try:
        path = report.write(folder, settings.project.name)
    except Exception as error:
        told = f"report not written: {type(error).__name__}: {error}"
        console.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)
        return
    seconds = time.monotonic() - began
    console.print(f"[dim]report in {_shown(path)} ({seconds:.1f} s)[/]", soft_wrap=True)


def _print_table(console: Console, table: StageTable) -> None:
    # Off a terminal each stage was printed as it ended.
    if console.is_terminal:
        console.print(table)


def _print_failure(console: Console, outcome: Outcome, code: int, folder: pathlib.Path) -> None:
    if outcome.error is not None:
        where = f"{outcome.error.node} failed." if outcome.error.node else "The run failed."
        console.print(f"[bold red]{escape(where)}[/]")
        console.print(outcome.error.text, markup=False, highlight=False, soft_wrap=True)
    elif code < 0:
        name = signal.Signals(-code).name
        console.print(
            f"[bold red]The run was ended by {name}.[/] "
            + ("The machine may have run out of memory." if name == "SIGKILL" else "")
        )
    else:
        console.print("[bold red]The run ended without a word.[/]")
    console.print(
        f"[dim]Full traceback in {_shown(folder / 'log.jsonl')}, what libraries printed in "
        f"{_shown(folder / 'output.txt')}[/]",
        soft_wrap=True,
    )


def _shown(path: pathlib.Path) -> str:
    try:
        return str(path.relative_to(pathlib.Path.cwd()))
    except ValueError:
        return str(path)


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Refuses a second run on the same folder: two would write to one ML Metadata store."""
    folder = pathlib.Path(settings.run.directory)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another run is under way in {folder}: wait for it, or set run.directory to "
                "another folder"
            ) from None
        yield
