"""Whether Trainer's workers could be launched from its pod, and would find what they train on."""

from collections.abc import Iterator

from components.distributed_trainer.settings import LoopbackWorkers, TfJobWorkers
from pipeline.kubeflow.places import keeps, volume_of
from pipeline.kubeflow.resources import Backend
from pipeline.settings import Problem, Settings

_PLACE = ("training", "workers")


def unlaunchable(settings: Settings, backend: Backend) -> Iterator[Problem]:
    """What keeps workers from training together on a cluster.

    ``loopback`` needs nothing: its workers are processes of Trainer's own pod.

    Args:
      settings: the project's settings, with ``kubeflow``.
      backend: what they are compiled for.
    """
    assert settings.kubeflow is not None
    workers = settings.training.workers
    if settings.training.strategy != "multi_worker" or isinstance(workers, LoopbackWorkers):
        return
    trainer = settings.kubeflow.node("Trainer")
    if isinstance(workers, TfJobWorkers):
        if backend == "vertex":
            yield Problem(
                (*_PLACE, "launcher"),
                " is 'tfjob', and Vertex AI has no Kubernetes: expected 'vertex' or 'loopback'",
            )
            return
        here, there = volume_of(trainer, workers.shared), volume_of(workers.pod, workers.shared)
        if here is None or there is None:
            yield Problem(
                (*_PLACE, "shared"),
                f" is {workers.shared!r}, which {'Trainer' if here is None else 'the workers'} "
                "would not find: expected a folder on a volume that several machines mount "
                "(ReadWriteMany), both under kubeflow.nodes.Trainer.volumes and under "
                "training.workers.pod.volumes",
            )
        elif here != there:
            yield Problem(
                (*_PLACE, "shared"),
                f" is {workers.shared!r}, which is on claim {here.claim!r} at {here.path!r} for "
                f"Trainer and on {there.claim!r} at {there.path!r} for the workers: expected one "
                "volume at one place",
            )
    elif not keeps(trainer, workers.shared, backend):
        yield Problem(
            (*_PLACE, "shared"),
            f" is {workers.shared!r}, which Trainer would not find on Kubernetes: expected a "
            "volume of the bucket there (the driver gcsfuse.csi.storage.gke.io), or "
            "kubeflow.backend: vertex",
        )
