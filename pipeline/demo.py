"""The verb ``demo``: the simulated plant's data."""

import pathlib
import sys
import time

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@click.command()
@click.option(
    "--directory", default="var/demo", show_default=True, type=click.Path(file_okay=False)
)
@click.option("--machines", default=50, show_default=True, type=click.IntRange(1))
@click.option("--days", default=120, show_default=True, type=click.IntRange(2))
@click.option("--readings", type=click.IntRange(1), help="About how many sensor readings in all.")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0))
@click.option(
    "--if-missing",
    is_flag=True,
    help="Do nothing where a plant lies already, or the settings do not read one.",
)
@click.pass_obj
def command(
    settings_path: str,
    directory: str,
    machines: int,
    days: int,
    readings: int | None,
    seed: int,
    if_missing: bool,
) -> None:
    """Make the simulated plant's data: a SQLite database and sensor files.

    What is simulated, and which faults the data has, is told in demo/README.md. The same options
    and seed give the same data.
    """
    if if_missing and not _is_missing(pathlib.Path(settings_path), pathlib.Path(directory)):
        return
    # NumPy, Arrow and SQLAlchemy are imported here: a plant that lies there already needs none.
    from demo.write import PlantError, make_plant

    console = Console()
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("making the demo plant", total=1.0)

            def told(share: float, what: str) -> None:
                progress.update(task, completed=share, description=what)

            plant = make_plant(
                directory,
                machines=machines,
                days=days,
                seed=seed,
                readings=readings,
                progress=told,
            )
    except PlantError as error:
        console.print(f"[bold red]{escape(str(error))}[/]")
        sys.exit(1)
    console.print(
        f"Demo plant in {escape(directory)}: {plant.machines} machines from {plant.begin[:10]} to "
        f"{plant.end[:10]}, {plant.readings:,} sensor readings in {plant.files} files, "
        f"{plant.rows['failures']:,} failures"
        f" ({time.monotonic() - started:.0f} s)",
        highlight=False,
    )


def _is_missing(settings: pathlib.Path, directory: pathlib.Path) -> bool:
    """Whether the settings read from a plant's folder in which no plant lies."""
    if (directory / "plant.json").exists():
        return False
    # Settings that are missing or wrong are told of by the verb that needs them.
    return settings.exists() and str(directory) in settings.read_text(encoding="utf-8")
