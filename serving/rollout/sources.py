"""Where metrics are read: a server's own page, or a Prometheus that scrapes many."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping

from serving.rollout.counters import MetricsError, Names, Reading, collect

EMBEDDED = Names(
    requests="serving_request_seconds_count",
    latency="serving_request_seconds",
    invalid="serving_invalid_answers",
    answers="serving_answer_values",
)
"""The embedded server's, as serving/server/metrics.py and answer_values.py name them."""
TENSORFLOW_SERVING = Names(
    requests=":tensorflow:serving:request_count",
    latency=":tensorflow:serving:request_latency",
    unit=1e-6,
)
"""TensorFlow Serving's. They have no label for the version: a Prometheus' relabelling sets it. Of
what is answered they tell nothing, neither NaN nor values."""
_LIMIT = 32 << 20
_TIMEOUT = 5.0


class Page:
    """A page in Prometheus' text format, such as the embedded server's.

    Args:
      url: of the page.
      names: what the metrics are called.
      model: the model's name.
      timeout: in seconds.
    """

    def __init__(self, url: str, names: Names, model: str, timeout: float = _TIMEOUT) -> None:
        self._url, self._names, self._model, self._timeout = url, names, model, timeout

    def read(self) -> Reading:
        """Reads the page.

        Raises:
          MetricsError: if the page is away, is none, or says nothing about the model.
        """
        text = _get(self._url, self._timeout).decode("utf-8", errors="replace")
        return collect(page_samples(text), self._names, self._model)


class Prometheus:
    """A Prometheus server's HTTP API, ``/api/v1/query``.

    Each scraped server's counters are read by themselves and not as one sum: a sum hides that one
    of them began anew. Source: https://prometheus.io/docs/prometheus/latest/querying/api/.

    Args:
      url: of the server, such as ``http://prometheus:9090``.
      names: what the metrics are called; with TensorFlow Serving, whose metrics know no version,
        the scrape's relabelling sets the version label from the pod's.
      model: the model's name.
      selector: more label matchers, such as ``namespace="prod"``.
      timeout: in seconds.
    """

    def __init__(
        self,
        url: str,
        names: Names,
        model: str,
        selector: str = "",
        timeout: float = _TIMEOUT,
    ) -> None:
        self._names, self._model, self._timeout = names, model, timeout
        metrics = [names.requests, f"{names.requests}_total"]
        metrics += [f"{names.latency}_bucket", f"{names.latency}_sum"]
        for name in filter(None, (names.invalid, names.answers)):
            metrics += [name, f"{name}_total"]
        matchers = [f'__name__=~"{"|".join(metrics)}"', f"{names.model}={json.dumps(model)}"]
        if selector:
            matchers.append(selector)
        query = urllib.parse.urlencode({"query": f"{{{','.join(matchers)}}}"})
        self._url = f"{url.rstrip('/')}/api/v1/query?{query}"

    def read(self) -> Reading:
        """Asks for the newest value of each counter.

        Raises:
          MetricsError: if the server is away, refuses, or knows nothing about the model.
        """
        text = _get(self._url, self._timeout)
        try:
            answer = json.loads(text)
            samples = [
                (entry["metric"]["__name__"], entry["metric"], float(entry["value"][1]))
                for entry in answer["data"]["result"]
            ]
        except (ValueError, KeyError, TypeError, IndexError):
            raise MetricsError(f"{self._url} gave no answer of Prometheus") from None
        return collect(samples, self._names, self._model)


def page_samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """The samples of a page in Prometheus' text format: name, labels and value.

    Raises:
      MetricsError: if it is none.
    """
    from prometheus_client.parser import text_string_to_metric_families

    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise MetricsError(f"not a page in Prometheus' text format: {error}") from None


def not_loaded(url: str, model: str, version: int, timeout: float = _TIMEOUT) -> str:
    """Why a server does not answer with a version; empty if it does.

    It is asked by GET ``/v1/models/<model>/versions/<n>``.

    Args:
      url: of the server's REST API.
      model: the model's name.
      version: the version.
      timeout: in seconds.
    """
    try:
        text = _get(f"{url.rstrip('/')}/v1/models/{model}/versions/{version}", timeout)
        states = {int(s["version"]): s for s in json.loads(text)["model_version_status"]}
        state = states[version]
        told = state.get("status", {}).get("error_message", "")
        return (
            "" if state["state"] == "AVAILABLE" else ": ".join(filter(None, [state["state"], told]))
        )
    except MetricsError as error:
        return str(error)
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{url} does not tell the version's state"


def _get(url: str, timeout: float) -> bytes:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise MetricsError(f"{url} is no http or https address")
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            text: bytes = answer.read(_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise MetricsError(f"{url} cannot be read: {error}") from None
    except Exception as error:  # http.client's own, such as a connection that ends within a line
        raise MetricsError(f"{url} cannot be read: {error!r}") from None
    if len(text) > _LIMIT:
        raise MetricsError(f"{url} is larger than {_LIMIT >> 20} MiB")
    return text
