"""The TFJob of an attempt.

``kubeflow.org/v1``, of the training operator 1.9: its code is cited as
kubeflow/training-operator v1.9.0.
"""

import re
from collections.abc import Sequence
from typing import Any

from components.distributed_trainer.launch.tfjob.patch import patched
from components.distributed_trainer.pod import Pod
from components.distributed_trainer.settings import TfJobWorkers

GROUP, VERSION, PLURAL = "kubeflow.org", "v1", "tfjobs"
CONTAINER = "tensorflow"
"""What the operator calls the container that it gives TF_CONFIG (tfjob_webhook.go)."""
ATTEMPT = "training-attempt"
"""The label that tells one attempt from another."""
JOB_NAME = "training.kubeflow.org/job-name"
"""The operator's label of a job's pods (common_types.go)."""
_PORT = 2222


def manifest(
    name: str,
    labels: dict[str, str],
    command: Sequence[str],
    settings: TfJobWorkers,
    patches: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A TFJob that trains once: the operator starts no pod again.

    A worker that comes back alone finds peers that wait for the old one; the launcher makes the
    whole job anew.

    Args:
      name: its name, a DNS-1035 label.
      labels: of the job and its pods.
      command: what each worker executes.
      settings: the workers'.
      patches: changes to the pods, in this order.
    """
    template = _template(labels, command, settings)
    for patch in patches:
        template = patched(template, patch)
    replica = {"restartPolicy": "Never", "template": template}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TFJob",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "runPolicy": {
                # Finished pods stay for their logs until the job is deleted.
                "cleanPodPolicy": "Running",
                "backoffLimit": 0,
                "activeDeadlineSeconds": settings.timeout // 1_000_000,
                "ttlSecondsAfterFinished": settings.keep // 1_000_000,
            },
            "tfReplicaSpecs": {
                "Chief": {"replicas": 1, **replica},
                "Worker": {"replicas": settings.count - 1, **replica},
            },
        },
    }


def label(text: str) -> str:
    """A text as a label's value: what Kubernetes takes of it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:63].strip("-_.")


def _template(
    labels: dict[str, str], command: Sequence[str], settings: TfJobWorkers
) -> dict[str, Any]:
    pod = settings.pod
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": pod.image,
        "command": list(command),
        "env": [
            *({"name": name, "value": value} for name, value in sorted(pod.env.items())),
            *(
                {
                    "name": name,
                    "valueFrom": {"secretKeyRef": {"name": where.secret, "key": where.key}},
                }
                for name, where in sorted(pod.secrets.items())
            ),
        ],
        "ports": [{"name": "tfjob-port", "containerPort": _PORT}],
        "resources": _resources(pod),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": volume.claim, "mountPath": volume.path}
            | ({"subPath": volume.sub_path} if volume.sub_path else {})
            for volume in pod.volumes
        ],
    }
    claims = dict.fromkeys(volume.claim for volume in pod.volumes)
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        # Workers have nothing to put in order, and process 1 does not hear SIGTERM.
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": [
            {"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims
        ],
    }
    if settings.service_account:
        spec["serviceAccountName"] = settings.service_account
    if pod.node_selector:
        spec["nodeSelector"] = dict(sorted(pod.node_selector.items()))
    if pod.tolerations:
        spec["tolerations"] = [one.model_dump(exclude_none=True) for one in pod.tolerations]
    # Workers talk to each other by ports that a sidecar would take over.
    return {"metadata": {"labels": {**labels, "sidecar.istio.io/inject": "false"}}, "spec": spec}


def _resources(pod: Pod) -> dict[str, Any]:
    """Limits, which are requests too: a worker that is starved holds all others up."""
    amounts = {"cpu": pod.cpu, "memory": pod.memory}
    limits = {name: amount for name, amount in amounts.items() if amount is not None}
    if pod.accelerator is not None:
        limits[pod.accelerator.type] = str(pod.accelerator.count)
    return {"limits": limits, "requests": dict(limits)} if limits else {}
