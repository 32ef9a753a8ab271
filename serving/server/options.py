"""How the server is started: tensorflow_model_server's flags where it has them, and our own.

Flags are written with dashes; underscores and ``--flag=true`` are understood too, so that a
command line of tensorflow_model_server can be used as it is.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import click

CONTEXT: Mapping[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda name: name.replace("_", "-"),
}
METRICS_PATH = "/monitoring/prometheus/metrics"


class OptionsError(Exception):
    """A start that cannot succeed; the message names what is wrong and the mend."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What ``serving.server.process.serve`` is told.

    Attributes:
      model_name: the model's name, if there is no ``model_config_file``.
      model_base_path: the folder with its versions.
      model_config_file: a ModelServerConfig as text proto; it goes before the two above.
      model_config_file_poll_wait_seconds: how often that file is read again; 0 for never.
      file_system_poll_wait_seconds: how often the folders are looked at.
      follow_releases: whether the folder's release record says what is served and to whom.
      host: what to listen on.
      port: for gRPC; 0 for a free one.
      rest_api_port: for REST; 0 for a free one.
      rest_api_timeout_in_ms: after which a REST request is given up.
      enable_batching: whether ``batching_parameters_file`` counts; else batching is adaptive.
      batching_parameters_file: BatchingParameters as text proto.
      monitoring_config_file: MonitoringConfig as text proto; without it Prometheus reads at
        ``/monitoring/prometheus/metrics``.
      max_request_bytes: of a request, REST or gRPC.
      max_connections: of REST at a time.
      header_seconds: in which a request's headers must arrive.
      body_seconds: in which its body must arrive.
      access_log: a file; "-" for standard error; "" for none.
      log_format: of what the server says besides, on standard error: ``text`` for people, ``json``
        for what collects logs.
      sample_directory: where requests and answers are kept; "" keeps none. See ``sampling``.
      sample_rate: the share of requests that is kept.
      sample_per_second: examples a second at most.
      sample_days: after how many days they go.
      sample_megabytes: how much they may take.
      sample_drop: names, with commas between, of columns that are never written.
      ready_file: gets the ports as JSON once they listen.
      grace_seconds: how long requests under way may take after SIGTERM.
      end_with_parent: the process that started this one, to end when it is gone; 0 to stay.
    """

    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: float = 0.0
    file_system_poll_wait_seconds: float = 1.0
    follow_releases: bool = False
    host: str = "127.0.0.1"
    port: int = 8500
    rest_api_port: int = 8501
    rest_api_timeout_in_ms: int = 30_000
    enable_batching: bool = False
    batching_parameters_file: str = ""
    monitoring_config_file: str = ""
    max_request_bytes: int = 64 << 20
    max_connections: int = 1_000
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    access_log: str = ""
    log_format: Literal["text", "json"] = "text"
    sample_directory: str = ""
    sample_rate: float = 0.1
    sample_per_second: float = 10.0
    sample_days: float = 30.0
    sample_megabytes: float = 1_000.0
    sample_drop: str = ""
    ready_file: str = ""
    grace_seconds: float = 15.0
    end_with_parent: int = 0


_HELP = {
    "model_name": "The model's name; ignored with --model-config-file.",
    "model_base_path": "The folder that holds the model's versions.",
    "model_config_file": "ModelServerConfig as text proto: several models, policies, labels.",
    "model_config_file_poll_wait_seconds": "Read that file again this often; 0 for never.",
    "file_system_poll_wait_seconds": "Look for new versions this often.",
    "follow_releases": "Serve what the folder's release record says.",
    "host": "Address to listen on.",
    "port": "Port for gRPC; 0 takes a free one.",
    "rest_api_port": "Port for REST; 0 takes a free one.",
    "rest_api_timeout_in_ms": "Give a REST request up after this.",
    "enable_batching": "Batch as --batching-parameters-file says, not adaptively.",
    "batching_parameters_file": "BatchingParameters as text proto.",
    "monitoring_config_file": "MonitoringConfig as text proto.",
    "max_request_bytes": "Refuse larger requests.",
    "max_connections": "REST connections at a time.",
    "header_seconds": "Time for a request's headers to arrive.",
    "body_seconds": "Time for a request's body to arrive.",
    "access_log": "File for one JSON line a request; - for standard error.",
    "log_format": "How the server's own log is written, to standard error.",
    "sample_directory": "Folder that keeps some requests and answers; none without it.",
    "sample_rate": "The share of requests that is kept.",
    "sample_per_second": "Keep so many examples a second at most.",
    "sample_days": "Remove what was kept after so many days.",
    "sample_megabytes": "Remove the oldest beyond so many MB.",
    "sample_drop": "Columns that are never written, with commas between.",
    "ready_file": "File that gets the ports as JSON once they listen.",
    "grace_seconds": "Time for requests under way after SIGTERM.",
    "end_with_parent": "Process that started this one: end when it is gone.",
}


def server_options(*left_out: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a click command an option for each field of Options.

    Args:
      left_out: fields without an option.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed(dataclasses.fields(Options)):
            if field.name not in left_out:
                command = _option(field)(command)
        return command

    return decorate


def _option(field: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    settings: dict[str, Any] = {"default": field.default, "help": _HELP[field.name]}
    if isinstance(field.default, bool):
        settings |= {"type": bool, "is_flag": False, "flag_value": True}
    elif isinstance(field.default, int):
        ceiling = 65535 if field.name.endswith("port") else None
        settings |= {"type": click.IntRange(0, ceiling), "show_default": True}
    elif isinstance(field.default, float):
        settings |= {"type": click.FloatRange(0), "show_default": True}
    elif choices := get_args(field.type):
        settings |= {"type": click.Choice(choices), "show_default": True}
    else:
        settings |= {"type": str, "show_default": bool(field.default)}
    return click.option(f"--{field.name.replace('_', '-')}", field.name, **settings)
