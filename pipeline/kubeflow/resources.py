"""A node's settings in the terms of the two backends."""

import re
from typing import Any, Literal

from pipeline.settings.kubeflow import Node

Backend = Literal["kfp", "vertex"]

_EXPONENTS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def gigabytes(memory: str) -> float:
    """An amount such as ``'4Gi'`` in units of 10^9 bytes, which is what ``memoryLimit`` counts."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)(i?)", memory)
    assert match is not None
    number, unit, binary = match.groups()
    return float(float(number) * (1024 if binary else 1000) ** _EXPONENTS[unit] / 1e9)


def processors(cpu: str) -> float:
    """An amount such as ``'2'`` or ``'500m'`` in processors."""
    return int(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)


def resource_spec(node: Node, backend: Backend) -> dict[str, Any]:
    """A ResourceSpec: limits, which Kubernetes takes as requests too.

    The numeric fields are used: they are those that KFP before 2.4 and Vertex AI know, and newer
    versions of KFP read them where the textual ones are left out (``driver.getPodResource``).
    """
    spec: dict[str, Any] = {}
    if node.cpu is not None:
        spec["cpuLimit"] = processors(node.cpu)
    if node.memory is not None:
        spec["memoryLimit"] = gigabytes(node.memory)
    if node.accelerator is not None:
        kind = node.accelerator.vertex if backend == "vertex" else node.accelerator.type
        spec["accelerator"] = {"type": kind, "count": str(node.accelerator.count)}
    return spec


def executor_config(node: Node) -> dict[str, Any]:
    """A KubernetesExecutorConfig (kubernetes_executor_config.proto): what a pod has beside limits.

    Fields that newer versions of KFP call deprecated are used, since servers refuse fields that
    they do not know and every 2.x knows these.
    """
    config: dict[str, Any] = {}
    secrets: dict[str, list[dict[str, str]]] = {}
    for variable, where in sorted(node.secrets.items()):
        pair = {"secretKey": where.key, "envVar": variable}
        secrets.setdefault(where.secret, []).append(pair)
    if secrets:
        config["secretAsEnv"] = [
            {"secretName": name, "keyToEnv": pairs} for name, pairs in sorted(secrets.items())
        ]
    if node.volumes:
        config["pvcMount"] = [
            {"constant": volume.claim, "mountPath": volume.path}
            | ({"subPath": volume.sub_path} if volume.sub_path else {})
            for volume in node.volumes
        ]
    if node.node_selector:
        config["nodeSelector"] = {"labels": dict(sorted(node.node_selector.items()))}
    if node.tolerations:
        config["tolerations"] = [t.model_dump(exclude_none=True) for t in node.tolerations]
    return config
