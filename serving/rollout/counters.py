"""A server's counters as they were read, and what was added to them between two readings."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Protocol

from serving.rollout.tally import Tally

REQUESTS, INVALID, SECONDS, BUCKET = "requests", "invalid", "seconds", "bucket"
ANSWERS = "answers"

CLIENT_ERRORS = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "CANCELLED", "3", "5", "1"})
"""Status codes of gRPC, by name and number, that a request brings upon itself."""
_OK = frozenset({"OK", "0"})


class MetricsError(Exception):
    """Metrics that could not be read, or say nothing."""


@dataclasses.dataclass(frozen=True)
class Names:
    """What the metrics are called.

    Attributes:
      requests: counter of answered requests, with a label ``status``; may be a histogram's
        ``_count``.
      latency: histogram of latencies; those of errors are left out if they have a ``status``.
      invalid: counter of answers with NaN or infinities; empty if there is none.
      answers: counter of values answered, with labels ``output``, ``class`` and ``bin``, the bin's
        edge; empty if there is none.
      model: label of the model's name.
      version: label of the version.
      status: label of the outcome, a gRPC status code.
      unit: the histogram's unit in seconds; 1e-6 for TensorFlow Serving's microseconds.
    """

    requests: str
    latency: str
    invalid: str = ""
    answers: str = ""
    model: str = "model_name"
    version: str = "version"
    status: str = "status"
    unit: float = 1.0


@dataclasses.dataclass(frozen=True, order=True)
class Series:
    """One counter of one server.

    Attributes:
      instance: which server; they begin anew one by one.
      version: of the model.
      kind: requests, invalid, seconds, bucket or answers.
      detail: a request's status, a bucket's upper edge in seconds, an answer's bin, a space and
        the output; else empty.
    """

    instance: str
    version: int
    kind: str
    detail: str = ""


Reading = Mapping[Series, float]


class Source(Protocol):
    """Where metrics come from."""

    def read(self) -> Reading:
        """The counters now.

        Raises:
          MetricsError: if they can't be had.
        """


def collect(
    samples: Iterable[tuple[str, Mapping[str, str], float]], names: Names, model: str
) -> dict[Series, float]:
    """Picks a model's counters from the samples of a page or an answer.

    Args:
      samples: name, labels and value.
      names: what the metrics are called.
      model: the model's name.

    Raises:
      MetricsError: if the model has no counter of requests or no histogram, or a value is no count.
    """
    kinds = {
        names.requests: REQUESTS,
        f"{names.requests}_total": REQUESTS,
        f"{names.latency}_bucket": BUCKET,
        f"{names.latency}_sum": SECONDS,
    }
    if names.invalid:
        kinds |= {names.invalid: INVALID, f"{names.invalid}_total": INVALID}
    if names.answers:
        kinds |= {names.answers: ANSWERS, f"{names.answers}_total": ANSWERS}
    reading: dict[Series, float] = {}
    for name, labels, value in samples:
        kind = kinds.get(name)
        version = labels.get(names.version, "")
        if kind is None or labels.get(names.model) != model or not version.isdecimal():
            continue
        if not math.isfinite(value) or value < 0:
            raise MetricsError(f"{name} of version {version} is {value}")
        detail, status = "", labels.get(names.status, "OK")
        if kind in (BUCKET, SECONDS) and status not in _OK:
            continue  # errors are quick: they would make a slow version look good
        if kind == REQUESTS:
            detail = status
        elif kind == BUCKET:
            detail = _edge(name, "le", labels.get("le", ""), names.unit)
        elif kind == SECONDS:
            value *= names.unit
        elif kind == ANSWERS:
            edge = _edge(name, "bin", labels.get("bin", ""), 1.0)
            column = labels.get("class", "")
            detail = f"{edge} {labels.get('output', '')}" + (f"[{column}]" if column else "")
        series = Series(labels.get("instance", ""), int(version), kind, detail)
        reading[series] = reading.get(series, 0.0) + value
    for kind, name in ((REQUESTS, names.requests), (BUCKET, names.latency)):
        if not any(series.kind == kind for series in reading):
            raise MetricsError(f"no {name} of {model} with a label {names.version}")
    return reading


def added(earlier: Reading, later: Reading) -> dict[Series, float]:
    """What was counted between two readings.

    A server whose counters fell began anew: all that it counted is new. So it is with a server
    that was not there before.
    """
    anew = restarted(earlier, later)
    return {
        series: value if series.instance in anew else value - earlier.get(series, 0.0)
        for series, value in later.items()
    }


def restarted(earlier: Reading, later: Reading) -> set[str]:
    """The servers that began anew between two readings."""
    return {
        series.instance
        for series, value in later.items()
        if value < earlier.get(series, 0.0) * (1 - 1e-12)
    }


def tally(reading: Reading, version: int) -> Tally:
    """Adds up one version's counters over all servers."""
    requests = errors = client = invalid = seconds = 0.0
    buckets: dict[float, float] = {}
    answers: dict[str, dict[float, float]] = {}
    for series, value in reading.items():
        if series.version != version:
            continue
        if series.kind == REQUESTS:
            requests += value
            errors += 0.0 if series.detail in _OK else value
            client += value if series.detail in CLIENT_ERRORS else 0.0
        elif series.kind == INVALID:
            invalid += value
        elif series.kind == SECONDS:
            seconds += value
        elif series.kind == ANSWERS:
            edge, _, output = series.detail.partition(" ")
            counts = answers.setdefault(output, {})
            counts[float(edge)] = counts.get(float(edge), 0.0) + value
        else:
            upper = float(series.detail)
            buckets[upper] = buckets.get(upper, 0.0) + value
    return Tally(requests, errors, client, invalid, seconds, buckets, answers)


def _edge(name: str, label: str, text: str, unit: float) -> str:
    try:
        edge = float(text)
    except ValueError:
        edge = math.nan
    if math.isnan(edge):
        raise MetricsError(f"{name} has a bucket with {label}={text!r}")
    return str(edge if math.isinf(edge) else round(edge * unit, 9))
