"""The verb ``serve``: the released versions on TensorFlow Serving's APIs."""

import dataclasses
import pathlib
import sys
import warnings

import click
from rich.console import Console

from observability.quiet import quiet_import
from pipeline.settings import SettingsError, load_settings
from serving.server.options import CONTEXT, Options, OptionsError, server_options


@click.command(context_settings=dict(CONTEXT))
@server_options("follow_releases")
@click.pass_obj
def command(settings_path: str, **values: object) -> None:
    """Serve the model's released versions on TensorFlow Serving's gRPC and REST APIs.

    Without flags it serves the settings' model as its release record says, and follows the record;
    serving.sampling says which requests it keeps.
    The flags are those of tensorflow_model_server where it has them.
    """
    console = Console()
    options = Options(**values)  # type: ignore[arg-type]
    try:
        if not options.model_config_file and not options.model_base_path:
            options = _released(options, settings_path)
        _run(options, console)
    except (SettingsError, OptionsError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)


def _released(options: Options, settings_path: str) -> Options:
    serving = load_settings(pathlib.Path(settings_path)).serving
    if not pathlib.Path(serving.model_directory).is_dir():
        raise OptionsError(f"No version in {serving.model_directory} yet: python -m pipeline run")
    if (sampling := serving.sampling) and not options.sample_directory:
        options = dataclasses.replace(
            options,
            sample_directory=sampling.directory,
            sample_rate=sampling.rate,
            sample_per_second=sampling.per_second,
            sample_days=sampling.days,
            sample_megabytes=sampling.megabytes,
            sample_drop=",".join(sampling.drop),
        )
    return dataclasses.replace(
        options,
        model_name=serving.model,
        model_base_path=serving.model_directory,
        follow_releases=True,
    )


def _run(options: Options, console: Console) -> None:
    # Google's libraries tell of a Python that they will not support for long.
    warnings.simplefilter("ignore", FutureWarning)
    with quiet_import():
        from serving.server.process import Listening, log_to_stderr, run

    if options.log_format == "json":
        log_to_stderr(options.log_format)

    def tell(where: Listening) -> None:
        base = f"http://{where.host}:{where.rest}"
        console.print(f"REST  {base}", highlight=False)
        console.print(f"gRPC  {where.host}:{where.grpc}", highlight=False)
        if not options.model_config_file:
            console.print("Try:", style="dim")
            console.print(
                f"  curl {base}/v1/models/{options.model_name}/metadata",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        console.print("Ctrl-C ends it once requests under way are answered.", style="dim")

    run(options, tell)
