"""What the requests to one version were like: counts, errors, latencies."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

_COUNTS = ("requests", "errors", "client_errors", "invalid", "seconds")


@dataclasses.dataclass(frozen=True)
class Tally:
    """Requests to one version in some stretch of time.

    Attributes:
      requests: answered, with success or an error.
      errors: those answered with an error.
      client_errors: those among them that the request itself brought about, or seems to.
      invalid: those answered with NaN or an infinity, where the server counts them.
      seconds: the sum of the latencies in the histogram.
      buckets: latency histogram, cumulative: how many took at most so many seconds, by upper edge;
        the last edge is infinity.
      answers: values answered, where the server counts them: by output, how many by the edge of
        their bin.
    """

    requests: float = 0.0
    errors: float = 0.0
    client_errors: float = 0.0
    invalid: float = 0.0
    seconds: float = 0.0
    buckets: Mapping[float, float] = dataclasses.field(default_factory=dict)
    answers: Mapping[str, Mapping[float, float]] = dataclasses.field(default_factory=dict)

    @property
    def measured(self) -> float:
        """How many latencies the histogram holds."""
        return self.buckets.get(math.inf, 0.0)

    @property
    def error_share(self) -> float:
        """Errors of any kind among requests; 0 without requests."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def fault_share(self) -> float:
        """Errors of the server or the model among requests; 0 without requests."""
        return (self.errors - self.client_errors) / self.requests if self.requests else 0.0

    @property
    def invalid_share(self) -> float:
        """Invalid answers among requests; 0 without requests."""
        return self.invalid / self.requests if self.requests else 0.0

    @property
    def mean_ms(self) -> float | None:
        """Mean latency in milliseconds; None without one."""
        return self.seconds / self.measured * 1000 if self.measured else None

    @property
    def mean_error_ms(self) -> float:
        """The mean's standard error in milliseconds, or more; 0 without a latency.

        Each latency counts as its bucket's upper edge, one past the last edge as twice that.
        """
        if not self.measured:
            return 0.0
        squares = counted = last = 0.0
        for edge, count in sorted(self.buckets.items()):
            last = edge if math.isfinite(edge) else 2 * last
            squares += (count - counted) * last**2
            counted = count
        mean = self.seconds / self.measured
        return math.sqrt(max(0.0, squares / self.measured - mean**2) / self.measured) * 1000

    def quantile_ms(self, share: float) -> float | None:
        """A latency that this share of requests did not exceed, in milliseconds.

        Args:
          share: such as 0.99.

        Returns:
          The upper edge of the bucket that holds it: never less than the truth. Infinity past the
          last finite edge; None without a latency.
        """
        if not self.measured:
            return None
        rank = share * self.measured
        return next(edge for edge, count in sorted(self.buckets.items()) if count >= rank) * 1000

    def over_ms(self, limit: float) -> float:
        """How many requests took longer than so many milliseconds, or may have."""
        under = [n for edge, n in self.buckets.items() if edge * 1000 <= limit * (1 + 1e-9)]
        return self.measured - max(under, default=0.0)

    def plus(self, other: "Tally") -> "Tally":
        """Both together. Of histograms with different edges only the common ones are kept."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        if self.buckets and other.buckets:
            edges = sorted(set(self.buckets) & set(other.buckets))
            buckets = {edge: self.buckets[edge] + other.buckets[edge] for edge in edges}
        else:
            buckets = dict(self.buckets or other.buckets)
        answers = {
            output: _sum(self.answers.get(output, {}), other.answers.get(output, {}))
            for output in (*self.answers, *other.answers)
        }
        return Tally(**counts, buckets=buckets, answers=answers)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; ``from_json`` reads it."""
        counts: dict[str, Any] = {name: getattr(self, name) for name in _COUNTS}
        answers = {output: _to_json(bins) for output, bins in self.answers.items()}
        return {**counts, "buckets": _to_json(self.buckets), "answers": answers}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Tally":
        """Reads ``to_json``."""
        counts = {name: float(value[name]) for name in _COUNTS}
        answers = {output: _from_json(bins) for output, bins in value["answers"].items()}
        return cls(**counts, buckets=_from_json(value["buckets"]), answers=answers)

    def numbers(self) -> dict[str, Any]:
        """What a person wants to know, for the history."""
        p99, mean = self.quantile_ms(0.99), self.mean_ms
        told: dict[str, Any] = {"requests": round(self.requests), "errors": round(self.errors)}
        if self.invalid:
            told["invalid"] = round(self.invalid)
        if p99 is not None:
            told["p99_ms"] = round(p99, 3) if math.isfinite(p99) else "above the last edge"
        if mean is not None:
            told["mean_ms"] = round(mean, 3)
        return told


def _sum(one: Mapping[float, float], other: Mapping[float, float]) -> dict[float, float]:
    return {edge: one.get(edge, 0.0) + other.get(edge, 0.0) for edge in (*one, *other)}


def _to_json(counts: Mapping[float, float]) -> dict[str, float]:
    return {str(edge): count for edge, count in counts.items()}


def _from_json(counts: Mapping[str, Any]) -> dict[float, float]:
    return {float(edge): float(count) for edge, count in counts.items()}
