"""The verb ``demo``: the simulated plant's data."""

import pathlib

import click


@click.command()
@click.option("--directory", default="var/demo", show_default=True, type=click.Path(file_okay=False))
@click.option("--machines", default=50, show_default=True, type=click.IntRange(1))
@click.option("--days", default=120, show_default=True, type=click.IntRange(2))
@click.option("--readings", type=click.IntRange(1), help="About how many sensor readings in all.")
@click.option("--seed", default=7, show_default=True)
@click.option("--if-missing", is_flag=True, help="Do nothing where there is data already.")
def command(
    directory: str, machines: int, days: int, readings: int | None, seed: int, if_missing: bool
) -> None:
    """Make the simulated plant's data: a SQLite database and sensor files.

    The plant's model is described in demo/README.md; the same options and seed give the same data.
    """
