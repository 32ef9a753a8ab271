"""What Trainer is told of its workers: their settings, with what other blocks fill in."""

import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml

from components.distributed_trainer.settings import (
    LAUNCH,
    Launch,
    LoopbackWorkers,
    TfJobWorkers,
    VertexWorkers,
)
from pipeline.settings.errors import Problem

if TYPE_CHECKING:
    from pipeline.settings.models import Settings

_PLACE = ("training", "workers")


def environment(settings: "Settings") -> dict[str, str]:
    """What Trainer's process is given; nothing where it trains by itself."""
    if settings.training.strategy != "multi_worker":
        return {}
    workers = settings.training.workers
    if isinstance(workers, LoopbackWorkers):
        launch = Launch(workers=workers, directory=f"{settings.run.directory.rstrip('/')}/training")
    elif isinstance(workers, TfJobWorkers):
        launch = Launch(
            workers=_of_kubernetes(settings, workers),
            directory=workers.shared,
            patches=[_patch(path) for path in workers.patches],
        )
    else:
        launch = Launch(workers=_of_google(settings, workers), directory=workers.shared)
    return {LAUNCH: launch.model_dump_json()}


def problems(settings: "Settings") -> Iterator[Problem]:
    """What the workers lack, or could not be told of."""
    workers = settings.training.workers
    if settings.training.strategy != "multi_worker" or isinstance(workers, LoopbackWorkers):
        return
    if isinstance(workers, TfJobWorkers):
        if _of_kubernetes(settings, workers).pod.image is None:
            yield Problem(
                (*_PLACE, "pod", "image"),
                "missing: the image that workers run in; only with kubeflow is it Trainer's own",
            )
        for index, path in enumerate(workers.patches):
            try:
                _patch(path)
            except OSError as error:
                told = f" is {path!r}: {error.strerror}"
                yield Problem((*_PLACE, "patches", index), told)
            except (ValueError, yaml.YAMLError):
                yield Problem(
                    (*_PLACE, "patches", index),
                    f" is {path!r}: expected one YAML document with a pod's metadata and spec, as "
                    "in infra/training/infiniband.yaml",
                )
        return
    filled = _of_google(settings, workers)
    for name, what in (
        ("image", "the image that workers run in; only with kubeflow is it Trainer's own"),
        ("project", "the project of Google Cloud; only with kubeflow.vertex is it that one"),
        ("region", "the region of Vertex AI; only with kubeflow.vertex is it that one"),
    ):
        if getattr(filled, name) is None:
            yield Problem((*_PLACE, name), f"missing: {what}")


def _of_kubernetes(settings: "Settings", workers: TfJobWorkers) -> TfJobWorkers:
    kubeflow = settings.kubeflow
    if kubeflow is None:
        return workers
    image = workers.pod.image or kubeflow.node("Trainer").image or kubeflow.image
    update = {
        "namespace": workers.namespace or kubeflow.namespace,
        "pod": workers.pod.model_copy(update={"image": image}),
    }
    return workers.model_copy(update=update)


def _of_google(settings: "Settings", workers: VertexWorkers) -> VertexWorkers:
    kubeflow = settings.kubeflow
    if kubeflow is None:
        return workers
    image = kubeflow.node("Trainer").image or kubeflow.image
    known: dict[str, Any] = {"image": image, "service_account": kubeflow.service_account}
    if kubeflow.vertex is not None:
        known |= {"project": kubeflow.vertex.project, "region": kubeflow.vertex.region}
    left_out = {name: value for name, value in known.items() if getattr(workers, name) is None}
    return workers.model_copy(update=left_out)


def _patch(path: str) -> dict[str, Any]:
    """A file's change to a pod.

    Raises:
      OSError: if it cannot be read.
      yaml.YAMLError, ValueError: if it is none.
    """
    content = yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not content.keys() <= {"metadata", "spec"}:
        raise ValueError("no pod")
    return content
