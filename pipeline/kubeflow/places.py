"""Where a pipeline's data lies on a cluster: what a pod keeps on its own disk is lost with it.

What outlives a pod is a database, a volume that its node mounts (a PersistentVolumeClaim), or on
Vertex AI a bucket, which is mounted at ``/gcs``.
"""

import os
import pathlib
from collections.abc import Iterator

from components.distributed_trainer.pod import Pod
from components.ingest.kinds import AnySource
from components.ingest.paths import is_remote
from components.ingest.sensor.source import SensorSource
from components.ingest.source import Source
from components.ingest.sources import SqlSource
from pipeline.kubeflow.resources import Backend
from pipeline.nodes import RELEASING, example_gen_id
from pipeline.settings import Problem, Settings
from pipeline.settings.kubeflow import Node, Volume

BUCKETS = "/gcs"
"""Where Vertex AI mounts Cloud Storage."""


def misplaced(settings: Settings, backend: Backend) -> list[Problem]:
    """Every place in the settings that a node on a cluster would not find, or would lose.

    Args:
      settings: the project's settings, with ``kubeflow``.
      backend: what they are compiled for.
    """
    return [
        *_releases(settings, backend),
        *_sources(settings, backend),
        *_schema(settings),
    ]


def volume_of(node: Pod, path: str) -> Volume | None:
    """The volume of a node that holds a path; None if none does."""
    place = pathlib.PurePosixPath(os.path.normpath(path))
    for volume in node.volumes:
        if place.is_relative_to(volume.path):
            return volume
    return None


def keeps(node: Node, path: str, backend: Backend) -> bool:
    """Whether what a node writes to a path outlives its pod."""
    if backend == "vertex":
        return pathlib.PurePosixPath(os.path.normpath(path)).is_relative_to(BUCKETS)
    return volume_of(node, path) is not None


def _expected(node: str, backend: Backend, example: str) -> str:
    if backend == "vertex":
        return (
            f"expected a folder in a bucket as Vertex AI mounts it, such as '/gcs/plant{example}'"
        )
    return (
        f"expected a place on a volume that {node} mounts (kubeflow.nodes, volumes), such as "
        f"'/mnt/plant{example}'"
    )


def _releases(settings: Settings, backend: Backend) -> Iterator[Problem]:
    assert settings.kubeflow is not None
    directory, held = settings.serving.directory, {}
    for name in RELEASING:
        node = settings.kubeflow.node(name)
        if not keeps(node, directory, backend):
            yield Problem(
                ("serving", "directory"),
                f" is {directory!r}, where {name} would lose the versions with its pod: "
                + _expected(name, backend, "/serving"),
            )
            return
        volume = volume_of(node, directory)
        if volume is not None:
            held[name] = (volume.claim, volume.sub_path, os.path.relpath(directory, volume.path))
    if len(set(held.values())) > 1:
        yield Problem(
            ("serving", "directory"),
            f" is {directory!r}, which is on another volume for {' than for '.join(RELEASING)}: "
            "expected one release record",
        )


def _sources(settings: Settings, backend: Backend) -> Iterator[Problem]:
    assert settings.kubeflow is not None
    for name, source in settings.sources.items():
        node_id = example_gen_id(settings, name)
        node = settings.kubeflow.node(node_id)
        yield from _kept(name, source, node_id, node, backend)
        if not isinstance(source, SensorSource):
            yield from _variables(name, source, node_id, node)
            if isinstance(source, SqlSource):
                yield from _file(name, source, node_id, node, backend)
            continue
        for path in source.paths:
            if not is_remote(path) and not keeps(node, path, backend):
                yield Problem(
                    ("sources", name, "path"),
                    f" is {path!r}, which {node_id} would not find: "
                    + _expected(node_id, backend, "/telemetry/**/*.jsonl"),
                )


def _kept(
    name: str, source: AnySource, node_id: str, node: Node, backend: Backend
) -> Iterator[Problem]:
    directory = source.incremental and source.incremental.directory
    if directory and not directory.startswith("gs://") and not keeps(node, directory, backend):
        yield Problem(
            ("sources", name, "incremental", "directory"),
            f" is {directory!r}, where {node_id} would lose what it keeps with its pod: "
            + _expected(node_id, backend, "/days")
            + ", or gs://",
        )


def _variables(name: str, source: Source, node_id: str, node: Node) -> Iterator[Problem]:
    """Variables that the node is not given; a URL takes its variable's place."""
    for field in type(source).model_fields:
        variable = getattr(source, field)
        if not field.endswith("_env") or not variable:
            continue
        instead = getattr(source, field.removesuffix("_env"), None)
        if variable in node.secrets or variable in node.env or instead is not None:
            continue
        yield Problem(
            ("sources", name, field),
            f" is {variable!r}, which {node_id} is not given: expected it under "
            f"kubeflow.nodes, as in secrets: {{{variable}: {{secret: plant-db, key: url}}}}",
        )


def _file(
    name: str, source: SqlSource, node_id: str, node: Node, backend: Backend
) -> Iterator[Problem]:
    given = source.url_env and (source.url_env in node.secrets or source.url_env in node.env)
    if given or source.url is None:
        return
    # Importing SQLAlchemy takes longer than all the rest.
    import sqlalchemy.engine

    url = sqlalchemy.engine.make_url(source.url)
    file = url.database or ""
    if url.get_backend_name() in ("sqlite", "duckdb") and not keeps(node, file, backend):
        yield Problem(
            ("sources", name, "url"),
            f" is {source.url!r}, a file that {node_id} would not find: "
            + _expected(node_id, backend, "/plant.db")
            + ", or a database on a server",
        )


def _schema(settings: Settings) -> Iterator[Problem]:
    path = pathlib.PurePosixPath(os.path.normpath(settings.schema_file))
    if path.is_absolute() or ".." in path.parts:
        yield Problem(
            ("schema",),
            f" is {settings.schema_file!r}: expected a path in the checkout, such as "
            "'schemas/schema.pbtxt': the image holds the schema beside the code",
        )
