"""Metrics under TensorFlow Serving's exact names, and a histogram of our own with the version.

prometheus_client adds ``_total`` to a counter's name, which TensorFlow Serving's exporter
(util/prometheus_exporter.cc) does not: its metrics are kept and written here.
"""

import bisect
from collections.abc import Mapping, Sequence

import numpy as np
import prometheus_client

from serving.server.answer_values import AnswerValues, pairs_of

_EDGES = tuple(10 * 1.8**power for power in range(33))
_QUEUE_EDGES = tuple(100 * 1.2**power for power in range(52))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_STATES = ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")
_API = {"classify": "Classify", "regress": "Regress", "predict": "Predict"}


class Metrics:
    """What is counted; all but ``exposition`` is called on one thread.

    Args:
      registry: for our own metrics; a fresh one if None.
    """

    def __init__(self, registry: prometheus_client.CollectorRegistry | None = None) -> None:
        self.registry = registry or prometheus_client.CollectorRegistry()
        self._requests = _Counter(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ("model_name", "status"),
        )
        self._latency = _Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for Tensorflow Serving request.",
            ("model_name", "API", "entrypoint"),
            _EDGES,
        )
        self._runtime = _Histogram(
            ":tensorflow:serving:runtime_latency",
            "Distribution of wall time (in microseconds) for Tensorflow runtime.",
            ("model_name", "API", "runtime"),
            _EDGES,
        )
        self._queuing = _Histogram(
            ":tensorflow:serving:batching_session:queuing_latency",
            "Distribution of wall time spent (in microseconds) in queuing",
            ("thread_pool_name",),
            _QUEUE_EDGES,
        )
        self._seconds = prometheus_client.Histogram(
            "serving_request_seconds",
            "Wall time of requests, in seconds, by version.",
            ("model_name", "version", "status", "api"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._invalid = prometheus_client.Counter(
            "serving_invalid_answers",
            "Answers with NaN or infinities in them.",
            ("model_name", "version"),
            registry=self.registry,
        )
        self._states = prometheus_client.Gauge(
            "serving_version_state",
            "1 for the state that a version is in.",
            ("model_name", "version", "state"),
            registry=self.registry,
        )
        self._values = AnswerValues()
        self.models: set[str] = set()
        """The models that there are. Others count under an empty name: clients make names up."""
        self._children: dict[tuple[str, str, str, str], prometheus_client.Histogram] = {}

    def observe_request(
        self,
        model: str,
        version: int | None,
        status: str,
        seconds: float,
        api: str,
        method: str = "predict",
    ) -> None:
        """Counts a request.

        Args:
          model: its name.
          version: which answered; None if none was found.
          status: the gRPC status code's name.
          seconds: from its arrival to its answer.
          api: REST or GRPC.
          method: predict, classify or regress.
        """
        if model not in self.models:
            model, version = "", None
        elif status == "NOT_FOUND":
            version = None
        self._requests.add((model, status))
        if status == "OK":
            self._latency.add((model, _API.get(method, method), api), seconds * 1e6)
        labels = (model, "" if version is None else str(version), status, api)
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._seconds.labels(*labels)
        child.observe(seconds)

    def observe_batch(self, model: str, pool: str, waited: Sequence[float], seconds: float) -> None:
        """Counts a batch: what each of its requests waited and what it ran, in seconds."""
        for wait in waited:
            self._queuing.add((pool,), wait * 1e6)
        self._runtime.add((model, "Predict", "TF1"), seconds * 1e6)

    def observe_answer(
        self, model: str, version: int, outputs: Mapping[str, np.ndarray], drawn: bool = True
    ) -> None:
        """Counts what was answered, and whether it has NaN or infinities.

        Args:
          model: its name.
          version: which answered.
          outputs: by name.
          drawn: whether the server chose the version. A client that names one may have inputs of
            its own kind, whose answers do not compare with others.
        """
        if drawn:
            self._values.add(model, version, outputs)
        for array in outputs.values():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                self._invalid.labels(model, str(version)).inc()
                return

    def set_state(self, model: str, version: int, state: str) -> None:
        """Notes the state that a version has now."""
        for name in _STATES:
            self._states.labels(model, str(version), name).set(float(name == state))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        lines: list[str] = []
        for metric in (self._requests, self._latency, self._runtime, self._queuing):
            metric.write(lines)
        self._values.write(lines)
        text = "\n".join(lines) + "\n"
        return text.encode() + prometheus_client.generate_latest(self.registry)


class _Counter:
    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._values: dict[tuple[str, ...], int] = {}

    def add(self, values: tuple[str, ...]) -> None:
        self._values[values] = self._values.get(values, 0) + 1

    def write(self, lines: list[str]) -> None:
        lines += [f"# HELP {self._name} {self._text}", f"# TYPE {self._name} counter"]
        for values, count in list(self._values.items()):
            lines.append(f"{self._name}{{{pairs_of(self._labels, values)}}} {count}")


class _Histogram:
    def __init__(self, name: str, text: str, labels: Sequence[str], edges: Sequence[float]) -> None:
        self._name, self._text, self._labels, self._edges = name, text, labels, edges
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, values: tuple[str, ...], amount: float) -> None:
        counts = self._counts.get(values)
        if counts is None:
            counts = self._counts[values] = [0] * (len(self._edges) + 1)
            self._sums[values] = 0.0
        counts[bisect.bisect_left(self._edges, amount)] += 1
        self._sums[values] += amount

    def write(self, lines: list[str]) -> None:
        lines += [f"# HELP {self._name} {self._text}", f"# TYPE {self._name} histogram"]
        for values, counts in list(self._counts.items()):
            labels, total = pairs_of(self._labels, values), 0
            for edge, count in zip((*self._edges, None), counts, strict=True):
                total += count
                bound = "+Inf" if edge is None else f"{edge:g}"
                lines.append(f'{self._name}_bucket{{{labels},le="{bound}"}} {total}')
            lines.append(f"{self._name}_sum{{{labels}}} {self._sums[values]!r}")
            lines.append(f"{self._name}_count{{{labels}}} {total}")
