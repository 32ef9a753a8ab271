"""The verb ``compile``."""

import pathlib

import click

from pipeline.settings import load_settings


@click.command()
@click.option(
    "--output",
    default="var/kubeflow",
    show_default=True,
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    help="The folder for the package.",
)
@click.pass_obj
def command(settings_path: str, output: pathlib.Path) -> None:
    """Compile the pipeline for Kubeflow Pipelines or Vertex AI."""
    from pipeline.kubeflow.compile import FILES, compile_pipeline

    path = pathlib.Path(settings_path)
    settings = load_settings(path)
    assert settings.kubeflow is not None
    package = compile_pipeline(settings, path, settings.kubeflow.backend)
    output.mkdir(parents=True, exist_ok=True)
    (output / FILES[package.backend]).write_text(package.text, encoding="utf-8")
