"""The models by name, kept as the configuration, the folders and the release records say."""

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.releases.traffic import Traffic
from serving.server.config_files import check_models
from serving.server.errors import ServingError
from serving.server.metrics import Metrics
from serving.server.models import Model
from serving.server.servable import Servable
from serving.server.standing import Standing
from serving.server.versions import AVAILABLE, Version, Versions, to_status


@dataclasses.dataclass(frozen=True)
class Target:
    """What a request names.

    Attributes:
      model: the model.
      version: None for the one that traffic, or else the newest available, says.
      label: a version's label.
      signature: "" for ``serving_default``.
      drawn: whether ``version`` is what traffic said, and not the request.
    """

    model: str
    version: int | None = None
    label: str | None = None
    signature: str = ""
    drawn: bool = False

    @property
    def by_traffic(self) -> bool:
        """Whether the request leaves the version to the server."""
        return self.drawn or (self.version is None and self.label is None)


class Catalog:
    """Finds the version that a request means; used on one event loop.

    Args:
      load: makes a servable of a folder.
      metrics: is told of the versions' states.
      poll_seconds: how often the folders are looked at; 0 for once.
      follow_seconds: how often ``traffic`` and ``served`` are asked.
      retries: how often a failed load is tried again, and after how many seconds.
      traffic: by model, how requests without a version are split.
      served: by model, the versions to hold where ``traffic`` decides.
    """

    def __init__(
        self,
        load: Callable[[str], Servable],
        metrics: Metrics,
        poll_seconds: float,
        follow_seconds: float,
        retries: tuple[int, float],
        traffic: Callable[[str], Traffic | None] | None,
        served: Callable[[str], Sequence[int]] | None,
    ) -> None:
        self._load, self._metrics, self._retries = load, metrics, retries
        self._poll_seconds = poll_seconds
        self._follow_seconds = min(follow_seconds, poll_seconds or follow_seconds)
        self._traffic, self._served = traffic, served
        self._loader = ThreadPoolExecutor(1, "load")
        self._models: dict[str, Model] = {}
        self._removed: list[Versions] = []
        self._watching: asyncio.Task[None] | None = None
        metrics.registry.register(Standing(lambda: self._models))

    def start(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Begins to load and to watch."""
        self.apply(config)
        self._watching = asyncio.create_task(self._watch())

    def model(self, name: str) -> Model:
        """A model by name.

        Raises:
          ServingError: NOT_FOUND.
        """
        if name not in self._models:
            raise ServingError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({name})"
            )
        return self._models[name]

    def find(self, target: Target) -> tuple[Model, Version]:
        """The version that a target means now.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        model = self._models.get(target.model)
        number = target.version
        if number is None and target.label is not None:
            number = None if model is None else model.labels.get(target.label)
            if number is None:
                raise _unknown_label(target.label)
        if model is not None:
            version = (
                model.choose(random.random()) if number is None else model.versions.all.get(number)
            )
            if version is not None and version.state == AVAILABLE:
                return model, version
        request = (
            f"Latest({target.model})" if number is None else f"Specific({target.model}, {number})"
        )
        raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}")

    def pin(self, target: Target) -> Target:
        """The target with the version that it means now; errors as of ``find``.

        A request is pinned before it is read, so that its failure too counts for that version, and
        what is read of a signature is that of the version that answers.
        """
        _, version = self.find(target)
        return Target(target.model, version.number, None, target.signature, drawn=target.by_traffic)

    def status(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> list[get_model_status_pb2.ModelVersionStatus]:
        """The states of one version or of all, newest first.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        held = self._models.get(model)
        if label is not None and version is None:
            version = held.labels.get(label) if held is not None else None
            if version is None:
                raise _unknown_label(label)
        if held is None or not held.versions.all:
            raise ServingError(
                grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {model}"
            )
        found = held.versions.all
        if version is None:
            return [to_status(found[number]) for number in sorted(found, reverse=True)]
        if version not in found:
            raise ServingError(
                grpc.StatusCode.NOT_FOUND, f"Could not find version {version} of model {model}"
            )
        return [to_status(found[version])]

    def replace(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Takes a new list of models, or nothing of it; errors as of ``Core.reload``."""
        try:
            check_models(config)
        except ValueError as error:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        for model in config.model_config_list.config:
            held = self._models.get(model.name)
            if held is not None:
                held.check_labels(model)
        self.apply(config)

    async def close(self) -> None:
        """Unloads everything."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        held = [*self._removed, *(model.versions for model in self._models.values())]
        await asyncio.gather(*(versions.close() for versions in held))
        self._models.clear()
        self._loader.shutdown(wait=True)

    def apply(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Adds, changes and removes models so that they are those of a checked configuration."""
        listed = {model.name: model for model in config.model_config_list.config}
        for name in [name for name in self._models if name not in listed]:
            self._remove(name)
        for name, model in listed.items():
            held = self._models.get(name)
            if held is not None and held.versions.base != model.base_path:
                self._remove(name)
                held = None
            if held is None:
                held = self._models[name] = self._make(model)
            held.take(model)
            held.follow()
            held.versions.poll()
        self._metrics.models = set(listed)

    def _make(self, config: model_server_config_pb2.ModelConfig) -> Model:
        name = config.name

        def served() -> Iterable[int]:
            return () if self._served is None else self._served(name)

        def traffic() -> Traffic | None:
            return None if self._traffic is None else self._traffic(name)

        def changed(version: Version) -> None:
            self._metrics.set_state(name, version.number, version.state)
            if version.state != AVAILABLE:
                model.drop_queues(version.number)

        def wanted(numbers: Iterable[int]) -> list[int]:
            return model.wanted(numbers)

        model = Model(
            Versions(
                name, config.base_path, wanted, self._loader, self._load, *self._retries, changed
            ),
            traffic,
            served,
        )
        return model

    def _remove(self, name: str) -> None:
        versions = self._models.pop(name).versions
        versions.remove()
        self._removed.append(versions)

    async def _watch(self) -> None:
        polled = time.monotonic()
        while True:
            await asyncio.sleep(self._follow_seconds)
            due = bool(self._poll_seconds) and time.monotonic() - polled >= self._poll_seconds
            for model in list(self._models.values()):
                if model.follow() or due:
                    model.versions.poll()
            if due:
                polled = time.monotonic()


def _unknown_label(label: str) -> ServingError:
    return ServingError(
        grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}"
    )
