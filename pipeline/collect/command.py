"""The verb ``collect``."""

import contextlib
import logging
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Iterator

import click

from components.ingest.sensor.source import SensorSource
from pipeline.settings import Settings, SettingsError, load_settings

_log = logging.getLogger(__name__)


@click.command()
@click.argument("source", required=False)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What it says, on standard error: for people, or one JSON object a line.",
)
@click.option(
    "--compact",
    is_flag=True,
    help="Make few files of the many of days that are over, and end; also beside collectors.",
)
@click.pass_obj
def command(settings_path: str, source: str | None, log_format: str, compact: bool) -> None:
    """Collect SOURCE's readings from its broker into Parquet files, until Ctrl-C or SIGTERM.

    SOURCE may be left out where `collect:` has only one, and with --compact for all.
    """
    # Imported here: they bring Arrow, and --help is to answer at once.
    from observability.process_log import log_only_to
    from observability.records import JsonFormatter
    from pipeline.collect.messages import StreamError

    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    log_only_to(handler)
    try:
        settings = load_settings(pathlib.Path(settings_path))
        if compact:
            for name in settings.collect if source is None and settings.collect else (source,):
                _compact(settings, _chosen(settings, name))
            return
        with _stop_asked() as stop:
            _collect(settings, _chosen(settings, source), stop)
    except (SettingsError, StreamError) as error:
        _log.error("%s", error)
        sys.exit(1)


def _chosen(settings: Settings, source: str | None) -> str:
    """The stream that was asked for, or the only one.

    Raises:
      StreamError: if there is none, or several and none was asked for.
    """
    from pipeline.collect.messages import StreamError

    streams = ", ".join(settings.collect)
    if source is None and len(settings.collect) == 1:
        return streams
    if not settings.collect:
        raise StreamError("settings name no broker: put one under collect: (docs/streams.md)")
    if source is None or source not in settings.collect:
        asked = "say which source to collect" if source is None else f"no stream {source!r}"
        raise StreamError(f"{asked}: collect: has {streams}")
    return source


def _collect(settings: Settings, name: str, stop: threading.Event) -> None:
    from pipeline.collect.collector import Collector
    from pipeline.collect.connect import broker
    from pipeline.collect.messages import StreamError
    from pipeline.collect.metrics import Metrics

    source, stream = settings.sources[name], settings.collect[name]
    assert isinstance(source, SensorSource)
    folder = pathlib.Path(settings.collect_directory(name))
    metrics = Metrics(settings.project.name, name)
    if stream.metrics is not None:
        try:
            metrics.serve(stream)
        except OSError as error:
            raise StreamError(
                f"collect.{name}.metrics is {stream.metrics!r}: {error.strerror}: name another "
                "address, or null for none"
            ) from error
    _log.info("collecting %s into %s", name, folder)
    Collector(name, source, stream, broker(stream, metrics), folder, metrics).run(stop)
    _log.info("stopped: all that arrived is in %s", folder)


def _compact(settings: Settings, name: str) -> None:
    from pipeline.collect.compact import compact

    folder = pathlib.Path(settings.collect_directory(name))
    done = compact(folder, settings.collect[name].compact, time.time())
    _log.info("%s: %d files became %d; %d that earlier ones stand for are removed", name, *done)


@contextlib.contextmanager
def _stop_asked() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set: a file that is being written is finished first."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
