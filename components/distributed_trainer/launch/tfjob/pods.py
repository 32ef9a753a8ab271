"""Why a pod does not start, and of what one ended: a Pod's status in plain words.

The fields: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

import dataclasses
import signal
from typing import Any

from components.distributed_trainer.launch.tfjob.manifest import CONTAINER
from components.distributed_trainer.worker import TRANSIENT

Pod = dict[str, Any]

_TYPE = "training.kubeflow.org/replica-type"
_INDEX = "training.kubeflow.org/replica-index"
_IMAGE = (
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
    *("ImageInspectError", "RegistryUnavailable"),
)
_ABORTED = 128 + signal.SIGABRT


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What became of a worker.

    Attributes:
      rank: how likely it drew others along, rather than being drawn: least first.
      at: when, to put those of a rank in order.
      text: in words for people.
      passing: whether another attempt may do better.
    """

    rank: int
    at: str
    text: str
    passing: bool


def index(pod: Pod) -> int:
    """Which worker a pod is: the chief is 0."""
    labels = pod["metadata"]["labels"]
    return int(labels[_INDEX]) + (labels[_TYPE].lower() != "chief")


def has_started(pod: Pod) -> bool:
    """Whether its container runs, or has run."""
    state = _container(pod).get("state", {})
    return "running" in state or "terminated" in state


def has_ended(pod: Pod) -> bool:
    """Whether it has ended, well or not."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def hindered(pod: Pod) -> str | None:
    """What keeps a pod from starting that will not pass by waiting; None if nothing does."""
    waiting = _container(pod).get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE:
        image = next(c["image"] for c in pod["spec"]["containers"] if c["name"] == CONTAINER)
        return (
            f"the image {image} cannot be pulled: {message or reason}. Look at its name "
            "(training.workers), and at the registry's password on the workers' service account"
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return f"its container cannot be made ({reason}): {message}"
    return None


def pending(pod: Pod) -> str:
    """What a pod that has not started waits for."""
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            message = condition.get("message", condition.get("reason", ""))
            return f"no machine can take it: {message}"
    waiting = _container(pod).get("state", {}).get("waiting", {})
    told = " ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
    return (
        f"it is {told or status.get('phase', 'Pending')}; kubectl describe pod "
        f"{pod['metadata']['name']} tells more, such as a volume that cannot be mounted"
    )


def trouble(pod: Pod, who: str, own_words: str | None, last_lines: list[str]) -> Trouble | None:
    """Of what a pod ended; None if it runs, or ended well.

    Args:
      pod: the pod.
      who: what to call the worker.
      own_words: what it said that it failed of.
      last_lines: of its log.
    """
    status = pod.get("status", {})
    if status.get("phase") != "Failed":
        return None
    ended = _container(pod).get("state", {}).get("terminated", {})
    at, code = ended.get("finishedAt", ""), ended.get("exitCode")
    tail = "".join(["; its last lines:", *(f"\n  {line}" for line in last_lines)])
    disrupted = next(
        (c for c in status.get("conditions", ()) if c["type"] == "DisruptionTarget"), None
    )
    if status.get("reason") == "Evicted":
        text = f"{who} was evicted from its machine: {status.get('message', '')}"
        return Trouble(0, at, text, passing=True)
    if disrupted is not None:
        why = disrupted.get("message") or disrupted.get("reason", "")
        return Trouble(0, at, f"{who} was taken off its machine: {why}", passing=True)
    if ended.get("reason") == "OOMKilled":
        text = (
            f"{who} took more memory than it may ({_limit(pod)}): raise "
            f"training.workers.pod.memory{tail}"
        )
        return Trouble(0, at, text, passing=False)
    if code is None:
        text = f"{who}'s pod failed: {status.get('reason', '')} {status.get('message', '')}"
        return Trouble(0, at, text.strip(), passing=True)
    if ended.get("reason") in ("ContainerCannotRun", "StartError"):
        return Trouble(1, at, f"{who} cannot be started: {ended.get('message', '')}", False)
    if code == TRANSIENT:
        return Trouble(3, at, f"{who} failed: {own_words or 'a peer is gone'}", passing=True)
    if own_words is not None:
        return Trouble(1, at, f"{who} failed: {own_words}", passing=False)
    if code > 128:
        text = f"{who} was killed by {_signal(code - 128)}{tail}"
        return Trouble(2 if code == _ABORTED else 0, at, text, passing=True)
    return Trouble(1, at, f"{who} ended with code {code}{tail}", passing=False)


def _container(pod: Pod) -> dict[str, Any]:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return next((one for one in statuses if one["name"] == CONTAINER), {})


def _limit(pod: Pod) -> str:
    container = next(c for c in pod["spec"]["containers"] if c["name"] == CONTAINER)
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    return f"its limit is {limit}" if limit else "its machine had no more"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
