"""Settings of the workers: what stands under ``training: workers:`` in settings.yaml."""

from typing import Annotated, Any, Literal

import pydantic

from components.distributed_trainer.pod import Accelerator, MountPath, Pod
from components.ingest.durations import Duration
from components.ingest.fields import FROZEN, Count, EnvName, Switch, Text, matching

LAUNCH = "TRAINING_LAUNCH"
"""Names what Trainer is told of its workers, as JSON of `Launch`.

An environment variable, since where and how a model is trained is no part of a cache key.
"""
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE


class _Workers(pydantic.BaseModel):
    """What every launcher is told; read where ``training.strategy`` is ``multi_worker``.

    Attributes:
      count: how many workers train together. The first is the chief, which trains like the others
        and writes the model, too.
      restarts: how often all workers are started again, from the newest backup, when one is killed
        or hangs. What a worker raises itself ends the training at once: it would raise it again.
      start_timeout: how long a worker may take from its start to the end of its first batch.
      hang_timeout: how long a worker that has begun may take between two batches, or to save.
    """

    model_config = FROZEN

    count: Annotated[int, pydantic.Field(strict=True, ge=1, le=256)] = 2
    restarts: Annotated[int, pydantic.Field(strict=True, ge=0, le=100)] = 2
    start_timeout: Duration = 20 * _MINUTE
    hang_timeout: Duration = 10 * _MINUTE


class LoopbackWorkers(_Workers):
    """Processes on the machine that the Trainer runs on, over the loopback interface."""

    launcher: Literal["loopback"] = "loopback"


class ClusterWorkers(_Workers):
    """Workers on other machines.

    Attributes:
      shared: a folder that the Trainer and all workers see at the same place and may write to: on a
        volume that several machines mount, or on Vertex AI in a bucket, below ``/gcs``.
      pending_timeout: how long workers may wait for machines.
      timeout: how long one attempt may take from its start; the cluster ends it then, whatever
        became of the launcher.
      orphan_timeout: how long workers go on without a sign of life of the launcher.
    """

    count: Annotated[int, pydantic.Field(strict=True, ge=2, le=256)] = 2
    shared: MountPath
    pending_timeout: Duration = 30 * _MINUTE
    timeout: Duration = 24 * _HOUR
    orphan_timeout: Annotated[Duration, pydantic.Field(ge=10 * _SECOND)] = 5 * _MINUTE


class TfJobWorkers(ClusterWorkers):
    """Pods that Kubeflow's training operator starts for a TFJob.

    Attributes:
      namespace: where; left out, ``kubeflow.namespace``, else the Trainer's own.
      service_account: the workers'; they are given no token of it.
      pod: what each worker asks for. Its image is the Trainer's where it is left out.
      patches: YAML files that change the workers' pods, such as ``infra/training/infiniband.yaml``.
      keep: how long a finished job and its pods are kept if the launcher could not delete them.
    """

    launcher: Literal["tfjob"] = "tfjob"
    namespace: Text | None = None
    service_account: Text | None = None
    pod: Pod = Pod()
    patches: list[Text] = []
    keep: Duration = _HOUR

    @pydantic.model_validator(mode="after")
    def _a_variable_is_set_once(self) -> "TfJobWorkers":
        twice = sorted(set(self.pod.env) & set(self.pod.secrets))
        if twice:
            raise ValueError(f"pod.env sets {twice[0]!r}, which pod.secrets sets too")
        return self


class VertexWorkers(ClusterWorkers):
    """Machines of Vertex AI: a CustomJob with two worker pools, the chief's and the others'.

    Attributes:
      project: of Google Cloud; left out, ``kubeflow.vertex.project``.
      region: left out, ``kubeflow.vertex.region``.
      image: left out, the Trainer's.
      machine_type: of each worker.
      accelerator: what each machine has; its ``type`` is Kubernetes' and is not read here.
      service_account: that workers run as; left out, ``kubeflow.service_account``.
      network: a VPC that the machines are peered with.
      spot: takes machines that may be called back at any time.
      env: values by environment variable; no secrets.
    """

    launcher: Literal["vertex"] = "vertex"
    project: Text | None = None
    region: Text | None = None
    image: Text | None = None
    machine_type: Text = "n1-standard-8"
    accelerator: Accelerator | None = None
    service_account: Text | None = None
    network: (
        Annotated[
            str,
            matching(
                r"projects/[^/]+/global/networks/[^/]+",
                "expected 'projects/<number>/global/networks/<name>'",
            ),
        ]
        | None
    ) = None
    spot: Switch = False
    boot_disk_gb: Annotated[Count, pydantic.Field(ge=100)] = 100
    env: dict[EnvName, str] = {}

    @pydantic.field_validator("shared")
    @classmethod
    def _shared_is_in_a_bucket(cls, value: str) -> str:
        if not value.startswith("/gcs/"):
            raise ValueError(
                "expected a folder in a bucket as Vertex AI mounts it, such as "
                "'/gcs/plant/training'"
            )
        return value

    @pydantic.model_validator(mode="after")
    def _the_accelerator_has_vertexs_name(self) -> "VertexWorkers":
        if self.accelerator is not None and self.accelerator.vertex is None:
            raise ValueError("accelerator needs vertex, such as {vertex: NVIDIA_L4, count: 1}")
        return self


def _told(value: Any) -> Any:
    """``{count: 4}`` means loopback."""
    return {"launcher": "loopback", **value} if isinstance(value, dict) else value


WorkersSettings = Annotated[
    Annotated[
        LoopbackWorkers | TfJobWorkers | VertexWorkers, pydantic.Field(discriminator="launcher")
    ],
    pydantic.BeforeValidator(_told),
]


class Launch(pydantic.BaseModel):
    """What the Trainer is told of its workers.

    Attributes:
      workers: as the settings say, with nothing left out that other settings fill in.
      directory: holds what a training keeps until it has made its model.
      patches: the content of ``workers.patches``.
    """

    model_config = FROZEN

    workers: WorkersSettings
    directory: str
    patches: list[dict[str, Any]] = []
