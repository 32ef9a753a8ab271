"""What the launcher asks of a Kubernetes API server, by its own client."""

import json
import logging
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import kubernetes
import urllib3
from kubernetes.client.exceptions import ApiException

from components.distributed_trainer.launch.job import TrainingFailed
from components.distributed_trainer.launch.tfjob.manifest import (
    ATTEMPT,
    CONTAINER,
    GROUP,
    JOB_NAME,
    PLURAL,
    VERSION,
)

_ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT = (10.0, 30.0)
"""Seconds for a connection and for an answer."""
_TRIES = 5
UNANSWERED = (urllib3.exceptions.HTTPError, OSError)
"""What the client raises where no answer comes."""


class Cluster:
    """One namespace.

    Attributes:
      namespace: its name.
    """

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._core = kubernetes.client.CoreV1Api(client)
        self._custom = kubernetes.client.CustomObjectsApi(client)

    def jobs(self, name: str, **how: Any) -> Any:
        """The list of TFJobs of a name: one or none; ``how`` is the client's, such as watch."""
        only = {"field_selector": f"metadata.name={name}", **how}
        place = (GROUP, VERSION, self.namespace, PLURAL)
        return self._custom.list_namespaced_custom_object(*place, **only)

    def pods(self, name: str, **how: Any) -> Any:
        """The list of a TFJob's pods."""
        selector = f"{JOB_NAME}={name}"
        return self._core.list_namespaced_pod(self.namespace, label_selector=selector, **how)

    def job(self, name: str) -> dict[str, Any] | None:
        """The TFJob as it is now; None if there is none."""
        answer = self.jobs(name, _preload_content=False, _request_timeout=TIMEOUT)
        return next(iter(listed(answer)["items"]), None)

    def log(self, pod: str, since: int | None) -> Any:
        """A pod's log as it comes, each line with its time.

        Args:
          pod: its name.
          since: how many seconds back it begins; None for its begin.
        """
        back = {} if since is None else {"since_seconds": since}
        return self._core.read_namespaced_pod_log(
            pod,
            self.namespace,
            container=CONTAINER,
            follow=True,
            timestamps=True,
            _preload_content=False,
            _request_timeout=(10.0, 60.0),
            **back,
        )

    def create(self, manifest: dict[str, Any]) -> None:
        """Creates a TFJob, once, though answers may be lost.

        Raises:
          TrainingFailed: if the server refuses it.
        """
        name, labels = manifest["metadata"]["name"], manifest["metadata"]["labels"]

        def is_made(error: ApiException, again: int) -> bool:
            """Whether the answer to an earlier request was lost."""
            found = self.job(name) if error.status == 409 and again else None
            return bool(found and found["metadata"]["labels"].get(ATTEMPT) == labels[ATTEMPT])

        self._tried(
            "create a TFJob",
            lambda: self._custom.create_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, manifest, _request_timeout=TIMEOUT
            ),
            is_made,
        )

    def delete(self, name: str) -> bool:
        """Deletes a TFJob with its pods; whether there was one.

        Raises:
          TrainingFailed: if the server refuses it, or does not answer.
        """
        return self._tried(
            "delete a TFJob",
            lambda: self._custom.delete_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                PLURAL,
                name,
                body=kubernetes.client.V1DeleteOptions(propagation_policy="Background"),
                _request_timeout=TIMEOUT,
            ),
            lambda error, again: error.status == 404,
        )

    def _tried(
        self, what: str, ask: Callable[[], Any], settles: Callable[[ApiException, int], bool]
    ) -> bool:
        """Asks until the server answers.

        Args:
          what: is asked, for messages.
          ask: sends the request.
          settles: whether an error, after so many earlier requests, means that nothing is to do.

        Returns:
          Whether the request was taken; False where an error settled it.

        Raises:
          TrainingFailed: if the server refuses it, or does not answer.
        """
        for again in range(_TRIES):
            last = again == _TRIES - 1
            try:
                ask()
                return True
            except ApiException as error:
                if settles(error, again):
                    return False
                if last or not is_passing(error):
                    raise refused(what, self.namespace, error) from error
            except UNANSWERED as error:
                if last:
                    raise unreachable(error) from error
            time.sleep(0.5 * 2**again)
        return False

    def wait_until_gone(self, name: str, seconds: float) -> bool:
        """Waits for the end of a job and its pods; whether they ended."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                left = [
                    item
                    for each in (self.jobs, self.pods)
                    for item in listed(
                        each(name, _preload_content=False, _request_timeout=TIMEOUT)
                    )["items"]
                ]
                if not left:
                    return True
            except (ApiException, *UNANSWERED) as error:
                if isinstance(error, ApiException) and not is_passing(error):
                    raise refused("list TFJobs and pods", self.namespace, error) from error
                logging.warning("Cannot see whether %s is gone: %s", name, reason(error))
            if time.monotonic() > deadline:
                return False
            time.sleep(min(0.5, seconds))


def connect(namespace: str | None) -> Cluster:
    """The cluster that this process runs in, else the one that kubeconfig names.

    Args:
      namespace: where; None for the pod's own, or kubeconfig's.

    Raises:
      TrainingFailed: if there is no cluster.
    """
    configuration = kubernetes.client.Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
            own = _ACCOUNT.read_text(encoding="utf-8").strip() if _ACCOUNT.exists() else None
        else:
            kubernetes.config.load_kube_config(client_configuration=configuration)
            _, context = kubernetes.config.list_kube_config_contexts()
            own = context["context"].get("namespace", "default")
    except kubernetes.config.ConfigException as error:
        raise TrainingFailed(
            f"training.workers.launcher is 'tfjob', and there is no cluster: {error}. Run the "
            "pipeline in one, or let KUBECONFIG name a file that says where it is"
        ) from error
    chosen = namespace or own
    if not chosen:
        raise TrainingFailed("training.workers.namespace is missing, and nothing else tells it")
    return Cluster(kubernetes.client.ApiClient(configuration), chosen)


def listed(answer: Any) -> dict[str, Any]:
    """The content of a list that was asked for with ``_preload_content=False``."""
    content: dict[str, Any] = json.loads(answer.data)
    return content


def is_passing(error: ApiException) -> bool:
    """Whether the same request may succeed a little later."""
    return error.status in (0, 408, 429) or error.status >= 500


def reason(error: Exception) -> str:
    """The words of an API server's or the client's error, in one line."""
    if isinstance(error, ApiException):
        try:
            return f"{error.status} {json.loads(error.body)['message']}"
        except (TypeError, ValueError, KeyError):
            return f"{error.status} {error.reason}"
    return f"{type(error).__name__}: {error}"


def refused(what: str, namespace: str, error: ApiException) -> TrainingFailed:
    """A refusal in words for people, with the mend."""
    mend = {
        401: "the login is not taken",
        403: "the account that Trainer runs as needs the role of infra/training/rbac.yaml",
        404: "the cluster does not know TFJobs, or has no such namespace: the training operator "
        "has to be installed (docs/training.md)",
    }.get(error.status, "see training.workers in the settings")
    return TrainingFailed(f"cannot {what} in namespace {namespace}: {reason(error)}; {mend}")


def unreachable(error: Exception) -> TrainingFailed:
    """An API server that does not answer."""
    return TrainingFailed(f"the cluster's API server does not answer: {reason(error)}")
