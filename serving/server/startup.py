"""From options to what the server runs: which models, how they are batched, where they are read."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from serving.releases import ReleaseError
from serving.releases.traffic import Traffic
from serving.server.batching import BatchingParameters
from serving.server.config_files import (
    ConfigError,
    read_batching,
    read_models,
    read_monitoring,
)
from serving.server.core import Core
from serving.server.errors import ServingError
from serving.server.following import Following
from serving.server.options import METRICS_PATH, Options, OptionsError
from serving.server.sampling import Sampling

_log = logging.getLogger(__name__)


def make_core(options: Options) -> Core:
    """Makes what holds the models; it loads nothing yet.

    Raises:
      OptionsError: if a file cannot be used, or a model's folder is not there.
    """
    config = _models(options)
    for model in config.model_config_list.config:
        if not Path(model.base_path).is_dir():
            raise OptionsError(
                f"model {model.name}: there is no folder {model.base_path}. Push a version into "
                "it, or name another with --model-base-path or in --model-config-file"
            )
    traffic, served = _followed(config) if options.follow_releases else (None, None)
    return Core(
        config,
        batching=_batching(options),
        poll_seconds=options.file_system_poll_wait_seconds,
        traffic=traffic,
        served=served,
        sampling=_sampling(options),
    )


def metrics_path(options: Options) -> str:
    """Where Prometheus reads; "" for nowhere.

    Raises:
      OptionsError: if the file that says so cannot be used.
    """
    if not options.monitoring_config_file:
        return METRICS_PATH
    try:
        return read_monitoring(options.monitoring_config_file)
    except ConfigError as error:
        raise _unusable("--monitoring-config-file", error) from None


async def reload_from_file(core: Core, options: Options) -> None:
    """Reads the list of models again and again, for ever; a bad one is told of and left."""
    wait = options.model_config_file_poll_wait_seconds
    if not options.model_config_file or not wait:
        return
    path = Path(options.model_config_file)
    text = path.read_bytes()
    while True:
        await asyncio.sleep(wait)
        try:
            now = path.read_bytes()
            if now == text:
                continue
            text = now
            await core.reload(read_models(path))
        except (OSError, ConfigError, ServingError) as error:
            _log.error("the models stay as they are: %s", error)


def _models(options: Options) -> model_server_config_pb2.ModelServerConfig:
    if options.model_config_file:
        try:
            return read_models(options.model_config_file)
        except ConfigError as error:
            raise _unusable("--model-config-file", error) from None
    if not options.model_base_path:
        raise OptionsError(
            "nothing to serve: name a model's folder with --model-base-path, or a list of models "
            "with --model-config-file"
        )
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=options.model_name,
        base_path=str(Path(options.model_base_path).absolute()),
        model_platform="tensorflow",
    )
    return config


def _sampling(options: Options) -> Sampling | None:
    if not options.sample_directory:
        return None
    try:
        # Personal data may be in it.
        Path(options.sample_directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OptionsError(
            f"--sample-directory {options.sample_directory} cannot be used: {error.strerror}. "
            "Name a folder that this user may write"
        ) from None
    return Sampling(
        options.sample_directory,
        options.sample_rate,
        options.sample_per_second,
        options.sample_days,
        options.sample_megabytes,
        frozenset(filter(None, map(str.strip, options.sample_drop.split(",")))),
    )


def _batching(options: Options) -> BatchingParameters | None:
    if not options.batching_parameters_file:
        return None
    if not options.enable_batching:
        raise OptionsError("--batching-parameters-file has no effect without --enable-batching")
    try:
        return read_batching(options.batching_parameters_file)
    except ConfigError as error:
        raise _unusable("--batching-parameters-file", error) from None


def _followed(
    config: model_server_config_pb2.ModelServerConfig,
) -> tuple[Callable[[str], Traffic | None], Callable[[str], Sequence[int]]]:
    """Each model's traffic and versions, by its release record."""
    records = {model.name: Following(model.base_path) for model in config.model_config_list.config}
    for name, record in records.items():
        try:
            record.traffic()
        except ReleaseError as error:
            raise OptionsError(f"model {name}: {error}") from None
    return (
        lambda name: records[name].traffic() if name in records else None,
        lambda name: records[name].served() if name in records else (),
    )


def _unusable(flag: str, error: ConfigError) -> OptionsError:
    return OptionsError(f"{flag} cannot be used: {error}. Mend the file, or name another")
