"""The text protos that tensorflow_model_server is started with, read as strictly as it reads them.

The published stubs have ModelServerConfig, but neither BatchingParameters nor MonitoringConfig:
these are declared here, with the names, types and numbers of session_bundle_config.proto and
monitoring_config.proto.
"""

import functools
import os
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from serving.server.batching import BatchingParameters

_Field = descriptor_pb2.FieldDescriptorProto
_INT, _STRING, _BOOL = ".google.protobuf.Int64Value", ".google.protobuf.StringValue", "bool"
_BATCHING: tuple[tuple[str, int, str], ...] = (
    ("max_batch_size", 1, _INT),
    ("batch_timeout_micros", 2, _INT),
    ("max_enqueued_batches", 3, _INT),
    ("num_batch_threads", 4, _INT),
    ("thread_pool_name", 5, _STRING),
    ("allowed_batch_sizes", 6, "repeated int64"),
    ("pad_variable_length_inputs", 7, _BOOL),
    ("enable_large_batch_splitting", 8, ".google.protobuf.BoolValue"),
    ("max_execution_batch_size", 9, _INT),
)
_M = TypeVar("_M", bound=Message)


class ConfigError(Exception):
    """A configuration file that cannot be used: file, line where known, and the rule."""


def read_models(path: str | os.PathLike[str]) -> model_server_config_pb2.ModelServerConfig:
    """Reads what ``--model_config_file`` names.

    Raises:
      ConfigError: if it cannot be read, parsed, or is no valid list of models.
    """
    config = _read(path, model_server_config_pb2.ModelServerConfig())
    try:
        check_models(config)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return config


def check_models(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Checks a list of models as ServerCore does before it takes it.

    Raises:
      ValueError: naming the model and the rule.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise ValueError("custom_model_config is not supported; use model_config_list")
    seen: set[str] = set()
    for model in config.model_config_list.config:
        if not model.name:
            raise ValueError("a model_config_list.config has no name")
        if model.name in seen:
            raise ValueError(f"Illegal to list model {model.name} multiple times in config list")
        seen.add(model.name)
        if model.model_platform not in ("", "tensorflow"):
            raise ValueError(
                f"model {model.name} has model_platform {model.model_platform!r}: expected "
                "'tensorflow'"
            )
        if not Path(model.base_path).is_absolute():
            raise ValueError(
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}"
            )


def read_batching(path: str | os.PathLike[str]) -> BatchingParameters:
    """Reads what ``--batching_parameters_file`` names.

    Raises:
      ConfigError: if it cannot be read, parsed, or breaks a rule of the batch scheduler.
    """
    message: Any = _read(path, _messages()["tensorflow.serving.BatchingParameters"]())
    if message.pad_variable_length_inputs:
        raise ConfigError(
            f"{path}: pad_variable_length_inputs is true: this server does not pad inputs"
        )
    values: dict[str, Any] = {
        name: getattr(message, name).value
        for name, _, kind in _BATCHING
        if kind.startswith(".") and message.HasField(name)
    }
    sizes = tuple(message.allowed_batch_sizes)
    try:
        return BatchingParameters(allowed_batch_sizes=sizes, **values)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def read_monitoring(path: str | os.PathLike[str]) -> str:
    """Reads what ``--monitoring_config_file`` names.

    Returns:
      The path where Prometheus reads, or "" if it is not enabled.

    Raises:
      ConfigError: if it cannot be read or parsed, or the path does not begin with a slash.
    """
    message: Any = _read(path, _messages()["tensorflow.serving.MonitoringConfig"]())
    prometheus = message.prometheus_config
    if not prometheus.enable:
        return ""
    where = prometheus.path or "/monitoring/prometheus/metrics"
    if not where.startswith("/"):
        raise ConfigError(f"{path}: prometheus_config.path is {where!r}: expected a leading '/'")
    return str(where)


def _read(path: str | os.PathLike[str], message: _M) -> _M:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise ConfigError(f"{path}:{error}") from None


@functools.cache
def _messages() -> dict[str, type[Message]]:
    """The messages that the stubs lack, in a pool of their own."""
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/server/config_files.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers.name],
    )
    _declare(file, "BatchingParameters", _BATCHING)
    _declare(file, "PrometheusConfig", (("enable", 1, _BOOL), ("path", 2, "string")))
    prometheus = ".tensorflow.serving.PrometheusConfig"
    _declare(file, "MonitoringConfig", (("prometheus_config", 1, prometheus),))
    pool.Add(file)
    names = ("BatchingParameters", "MonitoringConfig")
    get = getattr(message_factory, "GetMessageClass", None)
    if get is None:
        get = message_factory.MessageFactory(pool).GetPrototype
    return {
        f"tensorflow.serving.{name}": get(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
        for name in names
    }


def _declare(
    file: descriptor_pb2.FileDescriptorProto,
    name: str,
    fields: tuple[tuple[str, int, str], ...],
) -> None:
    message = file.message_type.add(name=name)
    for field, number, kind in fields:
        repeated = kind.startswith("repeated ")
        kind = kind.removeprefix("repeated ")
        declared = message.field.add(
            name=field,
            number=number,
            label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
        )
        if kind.startswith("."):
            declared.type, declared.type_name = _Field.TYPE_MESSAGE, kind
        else:
            declared.type = getattr(_Field, f"TYPE_{kind.upper()}")
