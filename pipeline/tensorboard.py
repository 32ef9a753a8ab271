"""The verb ``tensorboard``: how runs trained, in the browser."""

import contextlib
import pathlib
import socket
import sys
import tempfile
import time
import warnings
from typing import Any

import click
from rich.console import Console

from pipeline.interrupt import interruptible
from pipeline.settings import Settings, SettingsError, load_settings
from serving.releases import ReleaseError, Releases

_LOOK_SECONDS = 5.0


@click.command()
@click.argument("run", required=False)
@click.option("--port", type=click.IntRange(0, 65535), help="Default: 6006, or the next free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.pass_obj
def command(settings_path: str, run: str | None, port: int | None, host: str) -> None:
    """Show in TensorBoard how runs trained: all runs on this machine, or RUN.

    RUN is a run's id or a version's number. Runs that begin meanwhile appear too. Ctrl-C ends it.
    """
    console = Console()
    try:
        settings = load_settings(pathlib.Path(settings_path))
        found = trainings(settings)
        if run is not None:
            found = _only(run, found)
        elif not found:
            raise ValueError(
                f"nothing was trained in {settings.run.directory} yet: python -m pipeline run"
            )
        with tempfile.TemporaryDirectory(prefix="tensorboard-") as folder, interruptible():
            logs = pathlib.Path(folder)
            link(logs, found)
            console.print(f"{_serve(folder, host, port)}  (Ctrl-C ends it)", highlight=False)
            while True:
                time.sleep(_LOOK_SECONDS)
                if run is None:
                    link(logs, trainings(settings))
    except KeyboardInterrupt:
        return
    except (SettingsError, ReleaseError, ValueError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def trainings(settings: Settings) -> dict[str, pathlib.Path]:
    """What Trainer wrote for TensorBoard, by run, oldest first.

    Returns:
      Folders by name: the run's id and, where the run made a version, ``-version-N``. A run that
      took its model from an earlier one shares that one's folder.
    """
    # ML Metadata takes seconds to import, and help must not wait for it.
    from pipeline import history

    database = pathlib.Path(settings.run.directory) / "metadata.db"
    if not database.exists():
        return {}
    store = history.open_store(database)
    versions = {
        v.release.get("lineage", {}).get("run_id"): v.number
        for v in Releases(settings.serving.model_directory).versions()
    }
    found = {}
    for run_id, folder in _of_runs(store, database.parent / "pipeline/Trainer/model_run"):
        version = versions.get(run_id)
        found[run_id if version is None else f"{run_id}-version-{version}"] = folder
    return found


def _of_runs(store: Any, written: pathlib.Path) -> list[tuple[str, pathlib.Path]]:
    """Runs' ids and the folders of their training, oldest first."""
    from pipeline import history

    executions = {
        execution.id: execution
        for context in store.get_contexts_by_type("node")
        if context.name.endswith(".Trainer")
        for execution in store.get_executions_by_context(context.id)
    }
    found = []
    for number in sorted(executions):
        # A training that is under way has a folder, and no output in ML Metadata yet.
        made = [o.uri for o in history.outputs(store, number) if o.key == "model_run"]
        folder = next(iter(made), written / str(number))
        for context in store.get_contexts_by_execution(number):
            if context.type == "pipeline_run" and folder.exists():
                found.append((context.name, folder))
    return found


def _only(run: str, found: dict[str, pathlib.Path]) -> dict[str, pathlib.Path]:
    named = {n: f for n, f in found.items() if run == n or n.endswith(f"-version-{run}")}
    named = named or {n: f for n, f in found.items() if n.partition("-version-")[0] == run}
    if not named:
        told = ", ".join(list(found)[-5:]) or "none; python -m pipeline run makes one"
        raise ValueError(f"run {run!r} trained nothing on this machine. The newest are: {told}")
    return named


def link(folder: pathlib.Path, found: dict[str, pathlib.Path]) -> None:
    """Puts a link to each training under its name, once for runs that share one.

    Args:
      folder: what TensorBoard watches.
      found: see ``trainings``.
    """
    wanted: dict[pathlib.Path, str] = {}
    for name, place in found.items():
        wanted.setdefault(place.absolute(), name)
    links = {name: place for place, name in wanted.items()}
    for old in folder.iterdir():
        if old.name not in links:
            old.unlink()
    for name, place in links.items():
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(place, target_is_directory=True)


def _serve(folder: str, host: str, port: int | None) -> str:
    """Starts TensorBoard in threads of this process; its address.

    Raises:
      ValueError: if it can't listen there.
    """
    if port:
        try:
            socket.create_server((host, port)).close()
        except OSError as error:
            raise ValueError(
                f"port {port} of {host} can't be listened on: {error.strerror}. "
                "Take another by --port"
            ) from None
    # It reads local files without TensorFlow too, whose import would take longer than all else.
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    with warnings.catch_warnings(record=True):
        from tensorboard.program import TensorBoard, TensorBoardServerException

    server = TensorBoard()
    arguments = [f"--logdir={folder}", f"--host={host}", f"--reload_interval={_LOOK_SECONDS:.0f}"]
    # Its other way to read files is experimental, and prints so each time.
    arguments.append("--load_fast=false")
    if port is not None:
        arguments.append(f"--port={port}")
    server.configure(("tensorboard", *arguments))
    try:
        return str(server.launch())
    except TensorBoardServerException as error:
        raise ValueError(str(error)) from None
