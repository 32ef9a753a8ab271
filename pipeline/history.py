"""What earlier runs left: artifacts from ML Metadata, and the runs themselves."""

import dataclasses
import json
import pathlib
from collections.abc import Collection
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

_NEWEST = 200


@dataclasses.dataclass(frozen=True)
class Output:
    """An artifact that an execution made."""

    key: str
    type: str
    uri: pathlib.Path


def open_store(database: pathlib.Path) -> mlmd.MetadataStore:
    """Opens the SQLite store of ML Metadata that runs write to."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(database)
    connection.sqlite.connection_mode = (
        metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    )
    return mlmd.MetadataStore(connection)


def outputs(store: mlmd.MetadataStore, execution_id: int) -> list[Output]:
    """The artifacts of an execution, also of one that took them from the cache."""
    events = [
        event
        for event in store.get_events_by_execution_ids([execution_id])
        if event.type == metadata_store_pb2.Event.OUTPUT
    ]
    artifacts = {a.id: a for a in store.get_artifacts_by_id([e.artifact_id for e in events])}
    return [
        Output(event.path.steps[0].key, artifact.type, pathlib.Path(artifact.uri))
        for event in events
        if (artifact := artifacts.get(event.artifact_id)) is not None
    ]


def executions(database: pathlib.Path, run_id: str) -> dict[str, tuple[int, list[Output]]]:
    """By stage, a run's execution and what it made; stages that another run did are not in it.

    Args:
      database: ML Metadata's SQLite file.
      run_id: the run.
    """
    if not database.exists():
        return {}
    store = open_store(database)
    run = store.get_context_by_type_and_name("pipeline_run", run_id)
    found = {}
    for execution in store.get_executions_by_context(run.id) if run is not None else []:
        node = _node(store, execution.id)
        found[node] = (execution.id, outputs(store, execution.id))
    return found


def end_executions(database: pathlib.Path, stopped: Collection[str] = ()) -> None:
    """Ends executions that ML Metadata holds for running, where no run is under way.

    TFX tells an execution's end from the process that it ran in. Of a process that was killed, as
    of LocalDagRunner's own after Ctrl-C, ML Metadata would say for ever that it runs.

    Args:
      database: ML Metadata's SQLite file.
      stopped: stages that were stopped: CANCELED. All others have FAILED.
    """
    if not database.exists():
        return
    store = open_store(database)
    state = metadata_store_pb2.Execution.State
    # Of one run, or of the one before: earlier ones have been ended.
    newest = mlmd.ListOptions(limit=_NEWEST, order_by=mlmd.OrderByField.ID, is_asc=False)
    running = [e for e in store.get_executions(newest) if e.last_known_state == state.RUNNING]
    for execution in running:
        called_off = _node(store, execution.id) in stopped
        execution.last_known_state = state.CANCELED if called_off else state.FAILED
    if running:
        store.put_executions(running)


def _node(store: mlmd.MetadataStore, execution_id: int) -> str:
    (node,) = [
        context.name.partition(".")[2]
        for context in store.get_contexts_by_execution(execution_id)
        if context.type == "node"
    ]
    return node


def latest_artifact(database: pathlib.Path, node: str, key: str) -> pathlib.Path | None:
    """The newest artifact of a node's output that still lies on the disk.

    Args:
      database: ML Metadata's SQLite file.
      node: the node's id, such as ``'StatisticsGen'``.
      key: the output's name, such as ``'statistics'``.
    """
    if not database.exists():
        return None
    store = open_store(database)
    good = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)
    executions: list[Any] = []
    for context in store.get_contexts_by_type("node"):
        if context.name.endswith(f".{node}"):
            executions += [
                e for e in store.get_executions_by_context(context.id) if e.last_known_state in good
            ]
    # Ids grow; the times are those of a clock that may have been set back.
    for execution in sorted(executions, key=lambda e: e.id, reverse=True):
        for output in outputs(store, execution.id):
            if output.key == key and output.uri.exists():
                return output.uri
    return None


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's record, ``run.json`` in its folder."""

    run_id: str
    state: str
    as_of: str
    nodes: dict[str, str]


def runs(folder: pathlib.Path) -> list[Run]:
    """The runs whose records lie below ``folder``, oldest first."""
    found = []
    for path in sorted(folder.glob("*/run.json")):
        fields = json.loads(path.read_text(encoding="utf-8"))
        found.append(Run(**{f.name: fields[f.name] for f in dataclasses.fields(Run)}))
    return found
