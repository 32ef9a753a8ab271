"""What happens to objects of a cluster, seen by list and watch.

The protocol: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import kubernetes
from kubernetes.client.exceptions import ApiException

from components.distributed_trainer.launch.tfjob.cluster import (
    TIMEOUT,
    UNANSWERED,
    is_passing,
    listed,
)


@dataclasses.dataclass(frozen=True)
class Change:
    """What was seen.

    Attributes:
      kind: of the objects, as the follower was told.
      objects: all that there are now, by name.
      refused: what the server answered instead, if it will not answer otherwise.
    """

    kind: str
    objects: dict[str, dict[str, Any]]
    refused: ApiException | None = None


class Follower(threading.Thread):
    """Follows one kind of objects until it is stopped.

    A watch that ends or breaks is taken up where it was; where the server has forgotten that place
    (410 Gone) the objects are listed again. A connection over which nothing can come any more is
    noticed, since each watch is asked to end after ``window`` seconds.
    """

    def __init__(
        self,
        kind: str,
        ask: Callable[..., Any],
        changes: "queue.Queue[Change]",
        window: float = 30.0,
        pause: float = 1.0,
    ) -> None:
        """Makes a follower that is not yet started.

        Args:
          kind: what its changes are called.
          ask: lists the objects; takes the client's keywords.
          changes: where changes go.
          window: seconds that a watch lasts.
          pause: seconds between an error and the next request.
        """
        super().__init__(name=f"follow {kind}", daemon=True)
        self._kind, self._ask, self._changes = kind, ask, changes
        self._window, self._pause = window, pause
        self._stopped = threading.Event()
        self._objects: dict[str, dict[str, Any]] = {}
        self._heard = time.monotonic()

    def silence(self) -> float:
        """Seconds since the server last answered."""
        return time.monotonic() - self._heard

    def stop(self) -> None:
        """Ends it; a watch that is under way may go on for its window, unheard."""
        self._stopped.set()

    def run(self) -> None:
        """Follows."""
        version: str | None = None
        while not self._stopped.is_set():
            try:
                if version is None:
                    version = self._list()
                for event in kubernetes.watch.Watch().stream(
                    self._ask,
                    resource_version=version,
                    timeout_seconds=max(1, round(self._window)),
                    _request_timeout=(TIMEOUT[0], 1.5 * self._window),
                ):
                    version = self._take(event["type"], event["raw_object"])
                    if self._stopped.is_set():
                        return
                self._heard = time.monotonic()
            except ApiException as error:
                if error.status == 410:
                    version = None
                elif is_passing(error):
                    self._stopped.wait(self._pause)
                else:
                    self._changes.put(Change(self._kind, {}, error))
                    return
            except (*UNANSWERED, ValueError):
                self._stopped.wait(self._pause)

    def _list(self) -> str:
        content = listed(self._ask(_preload_content=False, _request_timeout=TIMEOUT))
        self._objects = {item["metadata"]["name"]: item for item in content["items"]}
        self._tell()
        return str(content["metadata"]["resourceVersion"])

    def _take(self, kind: str, item: dict[str, Any]) -> str:
        self._objects = {k: v for k, v in self._objects.items() if k != item["metadata"]["name"]}
        if kind != "DELETED":
            self._objects[item["metadata"]["name"]] = item
        self._tell()
        return str(item["metadata"]["resourceVersion"])

    def _tell(self) -> None:
        self._heard = time.monotonic()
        self._changes.put(Change(self._kind, dict(self._objects)))
