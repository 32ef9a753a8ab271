"""Settings of Kubeflow Pipelines: what stands under ``kubeflow:``. Local runs need none of it."""

from typing import Annotated, Literal

import pydantic

from components.distributed_trainer.pod import Accelerator as Accelerator
from components.distributed_trainer.pod import Pod
from components.distributed_trainer.pod import Toleration as Toleration
from components.distributed_trainer.pod import Volume as Volume
from pipeline.settings.access import Auth, NoAuth, Tls
from pipeline.settings.fields import FROZEN, NodeName, Switch, Text, matching


class Node(Pod):
    """What a node's pod asks for, and how its task is run.

    ``image`` is another image than the pipeline's, such as one with CUDA. ``cache`` is whether the
    platform may take the outputs of an earlier run with the same inputs and parameters; left out,
    nodes that look at a database, at files or at the release record are never cached, and all
    others are.
    """

    retries: Annotated[int, pydantic.Field(strict=True, ge=0, le=20)] = 0
    cache: Switch | None = None


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
