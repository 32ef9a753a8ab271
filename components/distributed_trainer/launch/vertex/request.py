"""The CustomJob of an attempt.

Source: https://cloud.google.com/vertex-ai/docs/training/distributed-training. Vertex AI sets
TF_CONFIG from the worker pools: the first is the chief's, the second the other workers'.
"""

import re
from collections.abc import Sequence
from typing import Any

from components.distributed_trainer.settings import VertexWorkers

JOB, ATTEMPT = "training_job", "training_attempt"
"""Labels: which training, and which attempt of it."""


def custom_job(
    key: str, attempt: str, run: str, command: Sequence[str], settings: VertexWorkers
) -> dict[str, Any]:
    """A CustomJob as ``google.cloud.aiplatform_v1.CustomJob`` takes it.

    Args:
      key: the training's.
      attempt: the attempt's name.
      run: the pipeline run's id; may be empty.
      command: what each worker executes.
      settings: the workers'.
    """
    machine: dict[str, Any] = {"machine_type": settings.machine_type}
    if settings.accelerator is not None:
        machine["accelerator_type"] = settings.accelerator.vertex
        machine["accelerator_count"] = settings.accelerator.count
    pool = {
        "machine_spec": machine,
        "disk_spec": {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": settings.boot_disk_gb},
        "container_spec": {
            "image_uri": settings.image,
            "command": list(command),
            "env": [{"name": name, "value": value} for name, value in sorted(settings.env.items())],
        },
    }
    spec: dict[str, Any] = {
        "worker_pool_specs": [
            {"replica_count": 1, **pool},
            {"replica_count": settings.count - 1, **pool},
        ],
        "scheduling": {
            "timeout": {"seconds": settings.timeout // 1_000_000},
            "strategy": "SPOT" if settings.spot else "STANDARD",
            # A worker that comes back alone finds peers that wait for the old one.
            "disable_retries": True,
        },
    }
    if settings.service_account:
        spec["service_account"] = settings.service_account
    if settings.network:
        spec["network"] = settings.network
    labels = {JOB: key, ATTEMPT: attempt} | ({"pipeline_run": label(run)} if run else {})
    return {"display_name": f"training-{key}", "labels": labels, "job_spec": spec}


def label(text: str) -> str:
    """A text as a label's value: what Google Cloud takes of it."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]
