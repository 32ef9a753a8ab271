"""What a run will do, settled before anything slow starts."""

import datetime
import pathlib
from typing import Any

from components.curated_schema import schema_file
from components.ingest import sql
from components.ingest.durations import format_instant, parse_instant
from components.ingest.patience import answered
from components.ingest.source import RowSource, Source
from components.ingest.spans.store import DayStore
from components.serving_gate.settings import NOT_BLESSED
from pipeline import beam, fingerprint, history, lineage
from pipeline.nodes import check_node, node_ids
from pipeline.run_id import new_run_id
from pipeline.settings import Settings
from serving import releases


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
        name, spine = settings.spine, settings.spine_source
        newest = answered(name, spine, lambda: sql.latest(name, spine))
        return newest + settings.label.horizon + 1
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
    beam.check_local(settings)
    run_folder = pathlib.Path(settings.run.directory).absolute()
    instant = resolve_as_of(settings, as_of)
    return {
        "run_id": new_run_id(run_folder / "runs"),
        "settings": str(path.absolute()),
        "from_nodes": from_nodes,
        "to_nodes": to_nodes,
        "base_run_id": _base_run(settings, run_folder / "runs", from_nodes),
        "inputs": {
            "as_of": format_instant(instant),
            "watermarks": {
                name: _watermark(name, source, instant) for name, source in settings.sources.items()
            },
            "release_state": releases.fingerprint(settings.serving.model_directory),
            "schema_fingerprint": schema_file.fingerprint(settings.schema_file),
            "trainer_config": _trainer_config(settings, to_nodes),
            "lineage": lineage.made_from(settings, path),
            "pipeline_root": str(run_folder / "pipeline"),
            "metadata_path": str(run_folder / "metadata.db"),
            "beam_args": beam.arguments(settings),
            "cache": cache,
            "refusals": refusals(run_folder / "pipeline"),
        },
    }


def _watermark(name: str, source: Source, as_of: int) -> str:
    # Another database is other data, whatever its fingerprint; its password is not part of it. One
    # that does not answer is told now, not after TFX was imported.
    place = fingerprint.text(source.place(name))
    if not isinstance(source, RowSource):
        return f"{place}:{source.fingerprint(name, as_of)}"
    told = f"{place}:{answered(name, source, lambda: source.fingerprint(name, as_of))}"
    if source.incremental is not None:
        # Days that a backfill read anew are other data, though nothing else tells so.
        told += f":{DayStore(name, source).shelf.renewed}"
    return told


def _trainer_config(settings: Settings, to_nodes: list[str]) -> dict[str, Any]:
    order = node_ids(settings)
    needs_schema = not to_nodes or any(
        order.index(node) >= order.index("CuratedSchema") for node in to_nodes
    )
    if not needs_schema:
        # Up to the statistics, from which the first schema is inferred, nothing is trained.
        return {}
    schema = schema_file.read_schema(settings.schema_file)
    return settings.trainer_config(schema_file.columns(schema))


def refusals(pipeline_root: pathlib.Path) -> int:
    """How many candidates ServingGate has refused in earlier runs."""
    return len(list(pipeline_root.glob(f"ServingGate/*/*/{NOT_BLESSED}")))


def _base_run(settings: Settings, folder: pathlib.Path, from_nodes: list[str]) -> str | None:
    """The newest run that has all that a run beginning at ``from_nodes`` takes over."""
    if not from_nodes:
        return None
    order = node_ids(settings)
    needed = order[: min(order.index(node) for node in from_nodes)]
    database = folder.parent / "metadata.db"
    for run in reversed(history.runs(folder)):
        whole = all(run.nodes.get(node) in ("done", "cached", "skipped") for node in needed)
        # What --from skipped it took over; what --to skipped it lacks.
        if whole and history.executions(database, run.run_id).keys() >= set(needed):
            return run.run_id
    raise ValueError(
        f"--from {from_nodes[0]!r}: no earlier run in {folder} got that far. Run without --from"
    )
