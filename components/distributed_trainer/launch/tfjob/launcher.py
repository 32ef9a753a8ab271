"""The launcher ``tfjob``."""

import logging
from collections.abc import Sequence
from typing import Any

from components.distributed_trainer.launch.attempts import Failure, until_done
from components.distributed_trainer.launch.job import Job, TrainingFailed
from components.distributed_trainer.launch.staging import Stage
from components.distributed_trainer.launch.stopping import undone_on_sigterm
from components.distributed_trainer.launch.tfjob import manifest
from components.distributed_trainer.launch.tfjob.attempt import Attempt, Pace
from components.distributed_trainer.launch.tfjob.cluster import Cluster, connect
from components.distributed_trainer.settings import TfJobWorkers


class TfJob:
    """Trains on pods of a Kubernetes cluster that has Kubeflow's training operator.

    A job that an earlier launcher left behind is deleted first: its workers end within
    ``orphan_timeout`` anyhow, and training goes on from their newest backup.
    """

    def __init__(
        self,
        settings: TfJobWorkers,
        patches: Sequence[dict[str, Any]] = (),
        cluster: Cluster | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Makes a launcher.

        Args:
          settings: the workers'.
          patches: changes to their pods.
          cluster: where; None for the one that this machine belongs to.
          pace: how long what takes.
        """
        self._settings, self._patches = settings, patches
        self._cluster, self._pace = cluster, pace or Pace()

    def run(self, job: Job) -> None:
        """See ``Launcher.run``."""
        cluster = self._cluster or connect(self._settings.namespace)
        with undone_on_sigterm():
            stage = Stage(job, [self._settings.shared])
            until_done(lambda: self._attempt(cluster, stage), self._settings.restarts)
        stage.bring_back()

    def _attempt(self, cluster: Cluster, stage: Stage) -> Failure | None:
        name = f"training-{stage.job.key}"
        if cluster.delete(name):
            logging.warning("TFJob %s was left behind by an earlier launcher: deleted", name)
        if not cluster.wait_until_gone(name, self._pace.gone):
            raise TrainingFailed(
                f"pods of an earlier TFJob {name} do not end: kubectl --namespace "
                f"{cluster.namespace} get pods --selector {manifest.JOB_NAME}={name}"
            )
        with stage.attempt(self._settings) as (attempt, signs, command):
            body = manifest.manifest(
                name, self._labels(stage.job, attempt), command, self._settings, self._patches
            )
            try:
                cluster.create(body)
                logging.info("TFJob %s in namespace %s", name, cluster.namespace)
                return Attempt(cluster, name, self._settings, signs, self._pace).wait()
            finally:
                self._end(cluster, name)

    def _labels(self, job: Job, attempt: str) -> dict[str, str]:
        labels = {
            "app.kubernetes.io/component": "training",
            "app.kubernetes.io/managed-by": "distributed-trainer",
            "training-job": job.key,
            manifest.ATTEMPT: attempt,
        }
        run = manifest.label(job.run)
        return labels | ({"pipeline-run": run} if run else {})

    def _end(self, cluster: Cluster, name: str) -> None:
        """Deletes the job; where the server does not let it, workers miss their launcher's sign."""
        try:
            cluster.delete(name)
        except TrainingFailed as error:
            logging.error(
                "%s\nTFJob %s is left behind. Its workers end by themselves in %.0f s; kubectl "
                "--namespace %s delete tfjob %s removes it",
                error,
                name,
                self._settings.orphan_timeout / 1e6,
                cluster.namespace,
                name,
            )
