"""Where a pipeline's data lies on a cluster: what a pod keeps on its own disk is lost with it.

What outlives a pod is a database, a volume that its node mounts (a PersistentVolumeClaim), or on
Vertex AI a bucket, which is mounted at ``/gcs``.
"""

import os
import pathlib
from collections.abc import Iterator

from components.distributed_trainer.pod import Pod
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
        if isinstance(source, SqlSource):
            yield from _database(name, source, node_id, node, backend)
            continue
        for path in source.paths:
            if not keeps(node, path, backend):
                yield Problem(
                    ("sources", name, "path"),
                    f" is {path!r}, which {node_id} would not find: "
                    + _expected(node_id, backend, "/telemetry/**/*.jsonl"),
                )


def _database(
    name: str, source: SqlSource, node_id: str, node: Node, backend: Backend
) -> Iterator[Problem]:
    if source.url_env and (source.url_env in node.secrets or source.url_env in node.env):
        return
    if source.url is None:
        yield Problem(
            ("sources", name, "url_env"),
            f" is {source.url_env!r}, which {node_id} is not given: expected it under "
            f"kubeflow.nodes, as in secrets: {{{source.url_env}: {{secret: plant-db, key: url}}}}",
        )
        return
    # Importing SQLAlchemy takes longer than all the rest.
    import sqlalchemy.engine

    url = sqlalchemy.engine.make_url(source.url)
    file = url.database or ""
    if url.get_backend_name() == "sqlite" and not keeps(node, file, backend):
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
