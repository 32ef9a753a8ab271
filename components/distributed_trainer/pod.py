"""Settings of a pod: what it asks Kubernetes for, and what it is given by name."""

from typing import Annotated, Literal

import pydantic

from components.ingest.fields import FROZEN, Count, EnvName, Text, matching

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


class Pod(pydantic.BaseModel):
    """A pod of one container.

    ``env`` is by environment variable its value; ``secrets`` where its value lies.
    """

    model_config = FROZEN

    image: Text | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    accelerator: Accelerator | None = None
    node_selector: dict[Text, str] = {}
    tolerations: list[Toleration] = []
    volumes: list[Volume] = []
    env: dict[EnvName, str] = {}
    secrets: dict[EnvName, SecretKey] = {}
