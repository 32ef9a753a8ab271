"""The verb ``compile``: the pipeline as a package for Kubeflow Pipelines or Vertex AI."""

import contextlib
import logging
import pathlib
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from observability.quiet import quiet_import

if TYPE_CHECKING:
    from pipeline.kubeflow.resources import Backend
    from pipeline.settings import Settings
    from pipeline.settings.kubeflow import Kubeflow, Node


@click.command()
@click.option(
    "--output",
    default="var/kubeflow",
    show_default=True,
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    help="Where the package goes.",
)
@click.option(
    "--backend",
    type=click.Choice(["kfp", "vertex"]),
    help="Whom it is for. Default: as the settings say.",
)
@click.option(
    "--allow-unpinned", is_flag=True, help="Take an image without a digest. For trying only."
)
@click.pass_obj
def command(
    settings_path: str, output: pathlib.Path, backend: "Backend | None", allow_unpinned: bool
) -> None:
    """Compile the pipeline into a package for Kubeflow Pipelines or Vertex AI.

    Writes pipeline.yaml, or for Vertex AI pipeline.vertex.json. Nothing is sent anywhere. Ends
    with 1 if the settings cannot run on a cluster, or if the backend would refuse the package.
    """
    from components.curated_schema.schema_file import SchemaError
    from pipeline.settings import SettingsError

    console = Console()
    try:
        write(console, settings_path, output, backend, allow_unpinned=allow_unpinned)
    except (SettingsError, SchemaError, OSError, ValueError) as error:
        console.print(f"[bold red]{type(error).__name__}[/]")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def write(
    console: Console,
    settings_path: str,
    output: pathlib.Path,
    backend: "Backend | None" = None,
    *,
    allow_unpinned: bool = False,
) -> None:
    """Compiles, writes the package and tells what is in it.

    Args:
      console: what is told goes there.
      settings_path: the settings file.
      output: the package's folder.
      backend: whom to compile for; as the settings say where it is left out.
      allow_unpinned: takes an image that is named by a tag.

    Raises:
      ValueError: if there is nothing to write; see ``compile.compile_pipeline``.
    """
    from pipeline.kubeflow.readiness import check_ready
    from pipeline.settings import load_settings

    path = pathlib.Path(settings_path)
    settings = load_settings(path)
    chosen: Backend = backend or (settings.kubeflow.backend if settings.kubeflow else "kfp")
    check_ready(settings, path, chosen, allow_unpinned=allow_unpinned)
    with console.status("importing TFX and compiling …"), quiet_libraries():
        # Only now: it takes half a minute, and most mistakes are told without it.
        from pipeline.kubeflow.compile import FILES, compile_pipeline

        package = compile_pipeline(settings, path, chosen, allow_unpinned=allow_unpinned)
    output.mkdir(parents=True, exist_ok=True)
    file = output / FILES[chosen]
    file.write_text(package.text, encoding="utf-8")

    assert settings.kubeflow is not None
    console.print(f"image {settings.kubeflow.image}", highlight=False, soft_wrap=True)
    console.print(_table(settings, settings.kubeflow, chosen))
    for line in package.left_out:
        console.print(f"[yellow]left out:[/] {escape(line)}")
    if allow_unpinned:
        console.print("[yellow]An image without a digest may be another one tomorrow.[/]")
    console.print(f"[bold green]{file}[/]  {len(package.text.encode()) / 1024:.0f} KiB")
    console.print(f"run parameter as_of, default {settings.as_of!r}", highlight=False)
    console.print(
        f"[dim]Next: python -m pipeline --settings {escape(settings_path)} submit[/]",
        soft_wrap=True,
    )


def _table(settings: "Settings", kubeflow: "Kubeflow", backend: "Backend") -> Table:
    """The nodes: what each asks for, is given, and whether it may be cached."""
    from pipeline.nodes import is_cached, node_ids

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("Node", "Asks for", "Retries", "Mounts, secrets", "Cached"):
        table.add_column(heading, no_wrap=heading == "Node")
    for name in node_ids(settings):
        node = kubeflow.node(name)
        given = [*(volume.path for volume in node.volumes), *node.secrets]
        table.add_row(
            name,
            escape(", ".join(_asks(node, backend))),
            str(node.retries),
            escape(", ".join(given)),
            "yes" if is_cached(settings, name, node.cache) else "no",
        )
    return table


def _asks(node: "Node", backend: "Backend") -> Iterator[str]:
    if node.cpu is not None:
        yield f"{node.cpu} CPU"
    if node.memory is not None:
        yield node.memory
    if node.accelerator is not None:
        kind = node.accelerator.vertex if backend == "vertex" else node.accelerator.type
        yield f"{node.accelerator.count} {kind}"
    if node.image is not None:
        yield node.image


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """TensorFlow and TFX tell dozens of lines while they are imported, none of the package."""
    with quiet_import(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
