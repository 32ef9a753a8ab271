"""Settings of Kubeflow Pipelines: what stands under ``kubeflow:``. Local runs need none of it."""

from typing import Annotated, Literal

import pydantic

from pipeline.settings.access import Auth, NoAuth, Tls
from pipeline.settings.fields import FROZEN, Count, EnvName, NodeName, Switch, Text, matching

Cpu = Annotated[
    str,
    pydantic.BeforeValidator(
        lambda v: str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v
    ),
    matching(r"\d+(\.\d+)?|\d+m", "expected processors such as 2 or '500m'"),
]
Memory = Annotated[
    str, matching(r"\d+(\.\d+)?[KMGTP]i?", "expected an amount of memory such as '4Gi'")
]
ResourceName = Annotated[
    str,
    matching(
        r"[a-z0-9][a-z0-9.-]*/[A-Za-z0-9][A-Za-z0-9._-]*",
        "expected a Kubernetes resource such as 'nvidia.com/gpu'; what Vertex AI calls it stands "
        "under vertex",
    ),
]
VertexAccelerator = Annotated[
    str,
    matching(
        r"(NVIDIA|TPU)_[A-Z0-9_]+", "expected Vertex AI's name of it, such as 'NVIDIA_TESLA_T4'"
    ),
]
# The volume is called like its claim, and a volume's name is a DNS label.
ClaimName = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "expected the name of a PersistentVolumeClaim: up to 63 lower-case letters, digits and "
        "hyphens",
    ),
]
MountPath = Annotated[
    str,
    matching(r"(/[^/:]+)+", "expected a folder in the container, such as '/mnt/plant'"),
]


class Accelerator(pydantic.BaseModel):
    """Accelerators of one type: what a pod asks Kubernetes for, and what Vertex AI calls it."""

    model_config = FROZEN

    type: ResourceName = "nvidia.com/gpu"
    vertex: VertexAccelerator | None = None
    count: Count = 1


class Volume(pydantic.BaseModel):
    """A PersistentVolumeClaim, or a folder in it, and where a node's pod sees it."""

    model_config = FROZEN

    claim: ClaimName
    path: MountPath
    sub_path: Text | None = None


class Toleration(pydantic.BaseModel):
    """A taint that a node's pod bears; the fields are those of Kubernetes."""

    model_config = FROZEN

    key: Text | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @pydantic.model_validator(mode="after")
    def _exists_has_no_value(self) -> "Toleration":
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("operator 'Exists' takes no value")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator 'Equal' needs key")
        return self


class SecretKey(pydantic.BaseModel):
    """A key of a Kubernetes secret: its names, never what it holds."""

    model_config = FROZEN

    secret: Text
    key: Text


class Node(pydantic.BaseModel):
    """What a node's pod asks for.

    ``image`` is another image than the pipeline's, such as one with CUDA. ``cache`` is whether the
    platform may take the outputs of an earlier run with the same inputs and parameters; left out,
    nodes that look at a database, at files or at the release record are never cached, and all
    others are. ``env`` is by environment variable its value; ``secrets`` where its value lies.
    """

    model_config = FROZEN

    image: Text | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    accelerator: Accelerator | None = None
    node_selector: dict[Text, str] = {}
    tolerations: list[Toleration] = []
    retries: Annotated[int, pydantic.Field(strict=True, ge=0, le=20)] = 0
    cache: Switch | None = None
    volumes: list[Volume] = []
    env: dict[EnvName, str] = {}
    secrets: dict[EnvName, SecretKey] = {}


class Vertex(pydantic.BaseModel):
    """Where on Google Cloud a run belongs to. Its bucket is ``pipeline_root``."""

    model_config = FROZEN

    project: Text
    region: Text = "us-central1"


class Kubeflow(pydantic.BaseModel):
    """Where the compiled pipeline runs. ``__default__`` under ``nodes`` holds for all nodes."""

    model_config = FROZEN

    backend: Literal["kfp", "vertex"] = "kfp"
    vertex: Vertex | None = None
    host: Text | None = None
    image: Text
    pipeline_root: Annotated[
        str,
        matching(
            r"(minio|s3|gs)://[^/].*",
            "expected a bucket such as 'minio://mlpipeline/v2/artifacts' or 'gs://bucket/folder'",
        ),
    ]
    namespace: Text | None = None
    experiment: Text = "Default"
    service_account: Text | None = None
    auth: Auth = NoAuth()
    tls: Tls = Tls()
    nodes: dict[NodeName, Node] = {}

    @pydantic.model_validator(mode="after")
    def _vertex_is_told_where(self) -> "Kubeflow":
        if self.backend == "vertex" and self.vertex is None:
            raise ValueError("backend 'vertex' needs vertex: {project: …, region: …}")
        return self

    def node(self, node_id: str) -> Node:
        """A node's settings: its own over those of ``__default__``, field by field."""
        default, own = self.nodes.get("__default__"), self.nodes.get(node_id)
        if default is None or own is None:
            return own or default or Node()
        return default.model_copy(update={k: getattr(own, k) for k in own.model_fields_set})
