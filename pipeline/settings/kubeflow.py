"""Settings of Kubeflow Pipelines: what stands under ``kubeflow:``. Local runs need none of it."""

from typing import Annotated, Literal

import pydantic

from pipeline.settings.fields import FROZEN, Count, EnvName, Text, matching

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
NodeName = Annotated[
    str,
    matching(
        r"__default__|[A-Za-z0-9][A-Za-z0-9-]*",
        "expected a node's id (letters, digits and hyphens) or '__default__'",
    ),
]


class Accelerator(pydantic.BaseModel):
    """Accelerators of one type: ``nvidia.com/gpu`` on Kubernetes, ``NVIDIA_…`` on Vertex AI."""

    model_config = FROZEN

    type: Text
    count: Count = 1


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
    """What a node's pod asks for. ``secrets`` is, by environment variable, where its value lies."""

    model_config = FROZEN

    cpu: Cpu | None = None
    memory: Memory | None = None
    accelerator: Accelerator | None = None
    node_selector: dict[Text, str] = {}
    tolerations: list[Toleration] = []
    retries: Annotated[int, pydantic.Field(strict=True, ge=0, le=20)] = 0
    secrets: dict[EnvName, SecretKey] = {}


class Kubeflow(pydantic.BaseModel):
    """Where the compiled pipeline runs. ``__default__`` under ``nodes`` holds for all nodes."""

    model_config = FROZEN

    host: Text | None = None
    image: Text
    pipeline_root: Annotated[
        str,
        matching(
            r"(minio|s3|gs|gcs|file)://.+|/.+",
            "expected a bucket such as 'minio://mlpipeline/v2/artifacts' or 'gs://bucket/folder'",
        ),
    ]
    namespace: Text | None = None
    experiment: Text = "Default"
    service_account: Text | None = None
    token_env: EnvName | None = None
    nodes: dict[NodeName, Node] = {}

    def node(self, node_id: str) -> Node:
        """A node's settings: its own over those of ``__default__``, field by field."""
        default, own = self.nodes.get("__default__"), self.nodes.get(node_id)
        if default is None or own is None:
            return own or default or Node()
        return default.model_copy(update={k: getattr(own, k) for k in own.model_fields_set})
