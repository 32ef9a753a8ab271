"""A pod's log, as the launcher's own."""

import collections
import math
import threading
import time

from kubernetes.client.exceptions import ApiException
from kubernetes.watch.watch import iter_resp_lines

from components.distributed_trainer.launch import lines
from components.distributed_trainer.launch.tfjob.cluster import UNANSWERED, Cluster

_TAIL = 10


class PodLog(threading.Thread):
    """Hands on a pod's log to its end; goes on where a connection broke.

    Attributes:
      ended: to be set once the pod has ended: what is read from then on is its last.
    """

    def __init__(self, cluster: Cluster, pod: str, index: int, pause: float = 1.0) -> None:
        """Makes a reader that is not yet started.

        Args:
          cluster: where the pod is.
          pod: its name.
          index: which worker it is.
          pause: seconds between two connections.
        """
        super().__init__(name=f"log of {pod}", daemon=True)
        self._cluster, self._pod, self._index, self._pause = cluster, pod, index, pause
        self._newest, self._read_at = "", time.monotonic()
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL)
        self.ended = threading.Event()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Lets it read what it is connected to, and connect no more."""
        self._stopped.set()

    def last_lines(self) -> list[str]:
        """What the worker said last."""
        return list(self._tail)

    def run(self) -> None:
        """Reads."""
        while True:
            is_last = self.ended.is_set()
            try:
                self._follow()
                whole = True
            except ApiException as error:
                if error.status == 404:
                    return
                whole = False
            except UNANSWERED:
                whole = False
            if is_last and whole:
                return
            if self._stopped.wait(self._pause):
                return

    def _follow(self) -> None:
        since = None
        if self._newest:
            # By the server's clock; what comes twice is told by its time.
            since = math.ceil(time.monotonic() - self._read_at) + 5
        response = self._cluster.log(self._pod, since)
        try:
            for line in iter_resp_lines(response):
                moment, _, text = line.partition(" ")
                if moment <= self._newest:
                    continue
                self._newest, self._read_at = moment, time.monotonic()
                self._tail.append(str(lines.relay(text, self._index)["msg"]))
        finally:
            response.close()
            response.release_conn()
