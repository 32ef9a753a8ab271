"""Models by name: which version answers a request, and the answer."""

import asyncio
import functools
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence

import grpc
import numpy as np
import prometheus_client
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.releases.traffic import Traffic
from serving.server.batching import CORES, BatchingParameters, Queue, Scheduler
from serving.server.catalog import Catalog, Target
from serving.server.config_files import check_models
from serving.server.errors import ServingError
from serving.server.exchange import Answer
from serving.server.metrics import Metrics
from serving.server.sampling import Sampler, Sampling
from serving.server.servable import Servable, check_inputs
from serving.server.signatures import DEFAULT, Signature
from serving.server.versions import END

__all__ = ["Core", "Target"]


class Core:
    """Holds the models; used on one event loop.

    Args:
      config: the models.
      batching: None for adaptive batching.
      poll_seconds: how often the folders are looked at.
      follow_seconds: how often ``traffic`` and ``served`` are asked.
      max_load_retries: how often a failed load is tried again.
      load_retry_seconds: between two tries; TensorFlow Serving waits a minute.
      threads: how many batches of a version run at a time.
      intra_threads: threads within an operation.
      inter_threads: threads between operations; -1 for the one that calls.
      traffic: by model, how requests without a version are split; None where it says nothing.
      served: by model, the versions to hold where ``traffic`` decides, newest first or not.
      registry: for metrics.
      sampling: which requests are kept; None for none.

    Raises:
      ValueError: if the configuration breaks a rule.
    """

    def __init__(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        *,
        batching: BatchingParameters | None = None,
        poll_seconds: float = 1.0,
        follow_seconds: float = 0.1,
        max_load_retries: int = 5,
        load_retry_seconds: float = 1.0,
        threads: int = CORES,
        intra_threads: int = 1,
        inter_threads: int = -1,
        traffic: Callable[[str], Traffic | None] | None = None,
        served: Callable[[str], Sequence[int]] | None = None,
        registry: prometheus_client.CollectorRegistry | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        check_models(config)
        self.metrics = Metrics(registry)
        self.sampler = Sampler(sampling, self.metrics.registry) if sampling else None
        self._config = config
        self._catalog = Catalog(
            functools.partial(Servable, intra_threads=intra_threads, inter_threads=inter_threads),
            self.metrics,
            poll_seconds,
            follow_seconds,
            (max_load_retries, load_retry_seconds),
            traffic,
            served,
        )
        self._batching, self._threads = batching, threads
        self._schedulers: weakref.WeakValueDictionary[Hashable, Scheduler] = (
            weakref.WeakValueDictionary()
        )
        self._draining = False
        self._under_way = 0

    async def start(self) -> None:
        """Begins to watch the folders; returns before anything is loaded."""
        self._catalog.start(self._config)

    async def wait_until_available(self, model: str, timeout: float) -> None:
        """Waits until a model has a version that answers.

        Args:
          model: its name.
          timeout: in seconds.

        Raises:
          ServingError: NOT_FOUND for an unknown model; the load's error as soon as every version
            is given up; DEADLINE_EXCEEDED.
        """
        deadline = time.monotonic() + timeout
        while True:
            versions = self._catalog.model(model).versions
            if versions.available():
                return
            states = list(versions.all.values())
            errors = [version.error for version in states if version.error is not None]
            if errors and all(version.state == END for version in states):
                raise errors[-1]
            if time.monotonic() > deadline:
                why = f": {errors[-1].message}" if errors else ""
                raise ServingError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"{model} has no available version after {timeout:g} s{why}",
                )
            await asyncio.sleep(0.01)

    async def predict(
        self,
        target: Target,
        inputs: Mapping[str, np.ndarray],
        *,
        output_filter: Sequence[str] = (),
        deadline: float | None = None,
    ) -> Answer:
        """Answers a request.

        Args:
          target: model, version and signature.
          inputs: by name, the batch as dimension 0; strings as object arrays of bytes.
          output_filter: the outputs to answer; all if empty.
          deadline: a ``time.monotonic()`` value.

        Raises:
          ServingError: as TensorFlow Serving answers; see ``Queue.ask`` and ``check_inputs``.
        """
        if self._draining:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "The server is shutting down")
        model, version = self._catalog.find(target)
        servable = version.servable
        assert servable is not None
        name = target.signature or DEFAULT
        if name not in servable.signatures:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
            )
        check_inputs(servable, name, inputs)
        signature = servable.signatures[name]
        _check_outputs(signature, output_filter)
        queue = model.queue(
            version.number,
            name,
            functools.partial(self._queue, target.model, version.number, servable, name),
        )
        servable.enter()
        self._under_way += 1
        try:
            outputs = await queue.ask(inputs, deadline)
        finally:
            self._under_way -= 1
            servable.leave()
        self.metrics.observe_answer(target.model, version.number, outputs, target.by_traffic)
        if output_filter:
            outputs = {alias: outputs[alias] for alias in output_filter}
        return Answer(outputs, target.model, version.number, name, servable.run_id)

    def pin(self, target: Target) -> Target:
        """The target with the version that it means now; see ``Catalog.pin``.

        Raises:
          ServingError: if there is no such model, version or label.
        """
        return self._catalog.pin(target)

    def signatures(self, target: Target) -> tuple[int, Mapping[str, Signature]]:
        """The version that a target means now, and its signatures.

        Raises:
          ServingError: if there is no such model, version or label.
        """
        _, version = self._catalog.find(target)
        assert version.servable is not None
        return version.number, version.servable.signatures

    def signature_defs(
        self, target: Target
    ) -> tuple[int, Mapping[str, meta_graph_pb2.SignatureDef]]:
        """As ``signatures``, as the SavedModel has them."""
        _, version = self._catalog.find(target)
        assert version.servable is not None
        return version.number, version.servable.definitions

    def status(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> list[get_model_status_pb2.ModelVersionStatus]:
        """The states of one version or of all, newest first.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        return self._catalog.status(model, version, label)

    async def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the whole list of models.

        Args:
          config: the new list. Where it breaks a rule nothing changes.

        Raises:
          ServingError: INVALID_ARGUMENT for a list that breaks a rule, FAILED_PRECONDITION for a
            label that is moved to a version that does not answer.
        """
        self._catalog.replace(config)

    async def drain(self, timeout: float) -> None:
        """Takes no new requests and waits for those under way, up to ``timeout`` seconds."""
        self._draining = True
        deadline = time.monotonic() + timeout
        while self._under_way and time.monotonic() < deadline:
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Unloads everything."""
        await self._catalog.close()
        if self.sampler is not None:
            self.sampler.close()
        for scheduler in list(self._schedulers.values()):
            scheduler.close()

    def _queue(self, model: str, version: int, servable: Servable, signature: str) -> Queue:
        return Queue(
            self._scheduler(model, version),
            functools.partial(servable.run, signature),
            model,
            servable.signatures[signature].batched,
        )

    def _scheduler(self, model: str, version: int) -> Scheduler:
        """What runs a version's batches; it lives as long as the version's queues.

        Each version has threads of its own, so that a canary that hangs takes none from the stable
        one. With BatchingParameters all share one pool, as in TensorFlow Serving.
        """
        pool = self._batching.thread_pool_name if self._batching else "adaptive"
        key = pool if self._batching else (model, version)
        scheduler = self._schedulers.get(key)
        if scheduler is None:
            observe = self.metrics.observe_batch
            scheduler = self._schedulers[key] = Scheduler(
                self._batching,
                self._threads,
                lambda name, waited, seconds: observe(name, pool, waited, seconds),
            )
        return scheduler


def _check_outputs(signature: Signature, output_filter: Sequence[str]) -> None:
    for alias in output_filter:
        if alias not in signature.outputs:
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{','.join(sorted(signature.outputs))}}}.",
            )
    if len(set(output_filter)) != len(output_filter):
        twice = next(alias for alias in output_filter if output_filter.count(alias) > 1)
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT, f"duplicate output tensor alias: {twice}"
        )
