"""One model as requests see it: its labels, its traffic, and a queue for each signature."""

import logging
from collections.abc import Callable, Iterable, Mapping

import grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.releases.traffic import Traffic
from serving.server.batching import Queue
from serving.server.errors import ServingError
from serving.server.policies import wanted
from serving.server.versions import AVAILABLE, Version, Versions

_log = logging.getLogger(__name__)


class Model:
    """A served model; used on one event loop.

    Args:
      versions: holds its versions.
      traffic: how requests without a version are split; None for the newest available.
      served: the versions to hold while there is traffic.
    """

    def __init__(
        self,
        versions: Versions,
        traffic: Callable[[], Traffic | None],
        served: Callable[[], Iterable[int]],
    ) -> None:
        self.versions = versions
        self._config = model_server_config_pb2.ModelConfig()
        self._ask_traffic, self._ask_served = traffic, served
        self._traffic: Traffic | None = None
        self._failing = False
        self._held: frozenset[int] = frozenset()
        self._followed: dict[str, int] = {}
        self.queues: dict[tuple[int, str], Queue] = {}
        """By version and signature."""

    @property
    def labels(self) -> Mapping[str, int]:
        """Versions by label; only those that answer, but for labels of the configuration."""
        return self._followed if self._traffic is not None else self._config.version_labels

    def take(self, config: model_server_config_pb2.ModelConfig) -> None:
        """Takes a new configuration: policy and labels."""
        self._config = config

    def check_labels(self, config: model_server_config_pb2.ModelConfig) -> None:
        """Checks that labels point at versions that answer.

        A new label may point at a version that is not there yet, as TensorFlow Serving allows by
        default; one that is in use may not be moved to it.

        Raises:
          ServingError: FAILED_PRECONDITION.
        """
        for label, number in config.version_labels.items():
            if self._config.version_labels.get(label, number) == number:
                continue
            version = self.versions.all.get(number)
            if version is None or version.state != AVAILABLE:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {config.name}, which "
                    "is not currently available for inference",
                )

    def follow(self) -> bool:
        """Asks for the traffic; whether other versions are to be held than before."""
        try:
            traffic, served = self._ask_traffic(), self._ask_served()
        except Exception:
            # A record that cannot be read must not change what serves.
            if not self._failing:
                _log.exception("the traffic of %s stays as it is", self.versions.model)
            self._failing = True
            return False
        self._failing = False
        self._traffic = traffic
        if traffic is None:
            changed, self._held, self._followed = bool(self._held), frozenset(), {}
            return changed
        labels = traffic.labels()
        named = {*served, *labels.values()}
        answering = set(self.versions.available())
        self._followed = {
            label: number if number in answering else self._followed.get(label, number)
            for label, number in labels.items()
        }
        # What a label still means stays until its new version answers.
        held = frozenset(named.union(self._followed.values()))
        changed, self._held = held != self._held, held
        return changed

    def wanted(self, numbers: Iterable[int]) -> list[int]:
        """Of the versions that there are, those to hold."""
        if self._traffic is not None:
            return sorted(self._held.intersection(numbers), reverse=True)
        policy = self._config.model_version_policy
        return wanted(numbers, policy)

    def choose(self, draw: float) -> Version | None:
        """The version for a request that names none.

        Args:
          draw: uniform in [0, 1).
        """
        if self._traffic is not None:
            held = self.versions.all
            for number in (self._traffic.choose(draw), self._followed.get("stable")):
                version = held.get(number) if number is not None else None
                if version is not None and version.state == AVAILABLE:
                    return version
        return self.versions.newest()

    def shares(self) -> dict[int, float]:
        """By version, its share of the requests that name none."""
        if self._traffic is not None:
            return self._traffic.shares()
        newest = self.versions.newest()
        return {newest.number: 1.0} if newest is not None else {}

    def queue(self, number: int, signature: str, make: Callable[[], Queue]) -> Queue:
        """The queue of a version's signature."""
        key = (number, signature)
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = make()
        return queue

    def drop_queues(self, number: int) -> None:
        """Forgets a version's queues; what waits in them is still answered."""
        for key in [key for key in self.queues if key[0] == number]:
            del self.queues[key]
