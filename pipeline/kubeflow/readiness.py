"""Whether settings can be compiled for a backend, and what of them it has no use for."""

import collections
import dataclasses
import pathlib
import re
from collections.abc import Iterator

from components.distributed_trainer.settings import TfJobWorkers, VertexWorkers
from pipeline.kubeflow.launching import unlaunchable
from pipeline.kubeflow.places import misplaced
from pipeline.kubeflow.resources import Backend
from pipeline.kubeflow.workers import unseen
from pipeline.nodes import RELEASING, node_ids
from pipeline.settings import Problem, Settings, SettingsError
from pipeline.settings.kubeflow import Kubeflow, Node

_PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
# The launcher keeps artifacts, itself and caches there: container.go and component/constants.go in
# backend/src/v2 of kubeflow/pipelines.
_LAUNCHERS = ("/gcs", "/s3", "/minio", "/kfp-launcher", "/.local", "/.cache", "/.config")


def check_ready(
    settings: Settings, path: pathlib.Path, backend: Backend, *, allow_unpinned: bool = False
) -> None:
    """Refuses settings that could not run as they stand.

    Args:
      settings: the project's settings.
      path: the file that they come from.
      backend: what they are compiled for.
      allow_unpinned: takes an image that is named by a tag.

    Raises:
      SettingsError: with every problem.
    """
    if settings.kubeflow is None:
        missing = "missing: image, pipeline_root and nodes, as in infra/kubeflow/settings.yaml"
        raise SettingsError(str(path), [Problem(("kubeflow",), missing)])
    problems = [
        *_as_of(settings),
        *([] if allow_unpinned else _images(settings)),
        *_root(settings.kubeflow, backend),
        *misplaced(settings, backend),
        *unseen(settings),
        *unlaunchable(settings, backend),
        *_nodes(settings, backend),
    ]
    if problems:
        raise SettingsError(str(path), dict.fromkeys(problems))


def left_out(settings: Settings, backend: Backend) -> list[str]:
    """What the settings ask for and the backend has no word for, as lines for people."""
    if backend == "kfp" or settings.kubeflow is None:
        return []
    lines = []
    for field in ("node_selector", "tolerations"):
        having = [n for n in node_ids(settings) if getattr(settings.kubeflow.node(n), field)]
        if having:
            lines.append(f"{field} of {', '.join(having)}: Vertex AI chooses machines itself")
    return lines


def _as_of(settings: Settings) -> Iterator[Problem]:
    if settings.as_of == "latest":
        yield Problem(
            ("as_of",),
            " is 'latest', which each stage would find at another instant: expected 'now' or an "
            "ISO 8601 time; a run may still be given another as its parameter as_of",
        )


def _images(settings: Settings) -> Iterator[Problem]:
    kubeflow = settings.kubeflow
    assert kubeflow is not None
    images: dict[tuple[str, ...], str] = {("kubeflow", "image"): kubeflow.image} | {
        ("kubeflow", "nodes", name, "image"): node.image
        for name, node in kubeflow.nodes.items()
        if node.image is not None
    }
    workers = settings.training.workers
    if isinstance(workers, TfJobWorkers) and workers.pod.image:
        images["training", "workers", "pod", "image"] = workers.pod.image
    elif isinstance(workers, VertexWorkers) and workers.image:
        images["training", "workers", "image"] = workers.image
    for place, image in images.items():
        if not _PINNED.fullmatch(image):
            yield Problem(
                place,
                f" is {image!r}: expected an image pinned by digest, as in "
                "'registry.example/plant@sha256:<64 hex digits>': a tag may name another image "
                "tomorrow, and caches would not notice",
            )


def _root(kubeflow: Kubeflow, backend: Backend) -> Iterator[Problem]:
    if backend == "vertex" and not kubeflow.pipeline_root.startswith("gs://"):
        yield Problem(
            ("kubeflow", "pipeline_root"),
            f" is {kubeflow.pipeline_root!r}: expected a bucket of Google Cloud Storage, such as "
            "'gs://bucket/folder'",
        )


@dataclasses.dataclass(frozen=True)
class _Placed:
    """A node with where in the settings each of its fields is told."""

    name: str
    node: Node
    own: Node | None

    def place(self, field: str) -> tuple[str, ...]:
        is_own = self.own is not None and field in self.own.model_fields_set
        return ("kubeflow", "nodes", self.name if is_own else "__default__", field)


def _nodes(settings: Settings, backend: Backend) -> Iterator[Problem]:
    assert settings.kubeflow is not None
    for name in node_ids(settings):
        placed = _Placed(name, settings.kubeflow.node(name), settings.kubeflow.nodes.get(name))
        # A default that some nodes cannot follow is no slip; a node's own wish is.
        if name in RELEASING and placed.own is not None and placed.own.cache:
            yield Problem(
                placed.place("cache"),
                " is true: the release record changes without the node's inputs, so that it must "
                "run each time",
            )
        for variable in sorted(set(placed.node.env) & set(placed.node.secrets)):
            yield Problem(placed.place("env"), f"sets {variable!r}, which secrets sets too")
        yield from _mounts(placed)
        if backend == "vertex":
            yield from _vertex(placed)


def _mounts(placed: _Placed) -> Iterator[Problem]:
    volumes, place = placed.node.volumes, placed.place("volumes")
    for claim, count in collections.Counter(v.claim for v in volumes).items():
        if count > 1:
            # makeVolumeMountPatch (backend/src/v2/driver/k8s.go) calls each volume like its claim.
            yield Problem(
                place,
                f"mounts claim {claim!r} {count} times, and Kubeflow makes a volume of each by one "
                "name, which Kubernetes refuses: mount it once, above both folders",
            )
    for path, count in collections.Counter(v.path for v in volumes).items():
        if count > 1:
            yield Problem(place, f"mounts {count} volumes at {path!r}: expected a folder for each")
        taken = next((t for t in _LAUNCHERS if path == t or path.startswith(f"{t}/")), None)
        if taken is not None:
            yield Problem(place, f"mounts a volume at {path!r}: Kubeflow's launcher uses {taken}")


def _vertex(placed: _Placed) -> Iterator[Problem]:
    for field, instead in (
        ("volumes", "keep files in a bucket, which Vertex AI mounts at /gcs"),
        (
            "secrets",
            "let the run's service account into the database without a password, and name it by "
            "url or env",
        ),
    ):
        if getattr(placed.node, field):
            yield Problem(
                placed.place(field), f"Vertex AI has none of Kubernetes' {field}: {instead}"
            )
    accelerator = placed.node.accelerator
    if accelerator is not None and accelerator.vertex is None:
        yield Problem(
            (*placed.place("accelerator"), "vertex"),
            "missing: what Vertex AI calls the accelerator, such as 'NVIDIA_TESLA_T4'",
        )
