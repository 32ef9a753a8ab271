"""What a run will do, settled before anything slow starts."""

import datetime
import os
import pathlib
import secrets
import subprocess
from typing import Any

from components.ingest import sensor_files, sql
from components.ingest.durations import (
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
)
from components.ingest.sources import SqlSource
from components.ingest.split import data_window
from pipeline import fingerprint
from pipeline.local import beam
from pipeline.settings import Settings
from serving import releases


def new_run_id() -> str:
    """An id that sorts by time and is unique on this machine."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def resolve_as_of(settings: Settings, text: str | None) -> int:
    """The instant at which a run stands.

    Args:
      settings: the project's settings.
      text: ``now``, ``latest`` (just after the newest observation's label has settled), an ISO
        8601 time, or None for what the settings say.

    Returns:
      Microseconds since the epoch.

    Raises:
      ValueError: if the text is none of these.
    """
    text = text or settings.as_of
    if text == "now":
        now = datetime.datetime.now(datetime.timezone.utc)
        return parse_instant(now.replace(microsecond=0).isoformat())
    if text == "latest":
        spine = settings.sources[settings.spine]
        assert isinstance(spine, SqlSource)
        return sql.latest(settings.spine, spine) + settings.label.horizon + 1
    return parse_instant(text)


def make(
    settings: Settings,
    path: pathlib.Path,
    *,
    as_of: str | None,
    from_nodes: list[str],
    to_nodes: list[str],
    cache: bool,
) -> dict[str, Any]:
    """Settles all that a run needs; looks at each source.

    Args:
      settings: the project's settings.
      path: the file that they come from.
      as_of: see resolve_as_of.
      from_nodes: the stages to begin at; empty for all.
      to_nodes: the stages to end after; empty for all.
      cache: whether unchanged stages are taken from earlier runs.

    Returns:
      What ``plan.json`` holds; no secret among it.

    Raises:
      DataError: if a source cannot be looked at.
      ValueError: if an option names nothing.
    """
    for option, named in (("--from", from_nodes), ("--to", to_nodes)):
        for node in named:
            check_node(settings, option, node)
    run_folder = pathlib.Path(settings.run.directory).absolute()
    instant = resolve_as_of(settings, as_of)
    schema_text = read_schema_text(settings)
    return {
        "run_id": new_run_id(),
        "settings": str(path.absolute()),
        "from_nodes": from_nodes,
        "to_nodes": to_nodes,
        "base_run_id": _base_run(run_folder / "runs", from_nodes),
        "inputs": {
            "as_of": format_instant(instant),
            "watermarks": {
                name: watermark(name, source) for name, source in settings.sources.items()
            },
            "release_state": releases.fingerprint(settings.serving.model_directory),
            "schema_fingerprint": fingerprint.text(schema_text),
            "trainer_config": settings.trainer_config(schema_types(schema_text)),
            "lineage": _lineage(settings, path, instant, schema_text),
            "pipeline_root": str(run_folder / "pipeline"),
            "metadata_path": str(run_folder / "metadata.db"),
            "beam_args": beam.arguments(settings.run.beam_workers),
            "cache": cache,
        },
    }
