"""Hands samples to whoever scrapes: a textfile, and a Pushgateway if there is one.

Metrics must not fail a run: what goes wrong comes back in words.
"""

import http.client
import pathlib
from collections.abc import Iterable, Mapping

import prometheus_client

from pipeline.metrics.scheme import Sample, registry
from pipeline.settings import Settings


def publish(settings: Settings, samples: Iterable[Sample], part: str = "") -> list[str]:
    """Writes samples to where ``settings.monitoring`` says.

    Args:
      settings: the project's settings.
      samples: all of ``part``: what was told of it before is replaced.
      part: who tells; each has a textfile and a group at the Pushgateway of its own. "" is the run.

    Returns:
      What went wrong, a sentence each.
    """
    monitoring = settings.monitoring
    made = registry(settings.project.name, samples)
    path = textfile(settings, part)
    told = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside its place under another ending and renamed: the collector never sees half.
        prometheus_client.write_to_textfile(str(path), made)
    except OSError as error:
        told.append(f"metrics not written: {path} (monitoring.textfile): {error.strerror or error}")
    if monitoring.pushgateway:
        key = {"pipeline": settings.project.name} | ({"part": part} if part else {})
        told += push(monitoring.pushgateway, made, key, monitoring.push_seconds)
    return told


def textfile(settings: Settings, part: str = "") -> pathlib.Path:
    """The textfile of ``part``: ``pipeline.prom``, or ``pipeline-<part>.prom`` beside it."""
    default = f"{settings.run.directory}/metrics/pipeline.prom"
    path = pathlib.Path(settings.monitoring.textfile or default)
    return path.with_stem(f"{path.stem}-{part}") if part else path


def push(
    url: str,
    made: prometheus_client.CollectorRegistry,
    key: Mapping[str, str],
    seconds: float,
    replace: bool = True,
) -> list[str]:
    """Tells a Pushgateway a group's metrics.

    Args:
      url: the Pushgateway's.
      made: the metrics.
      key: the grouping key beside ``job="pipeline"``; no run's id in it, as groups stay for ever.
      seconds: how long it may take.
      replace: whether the group's other metrics go.

    Returns:
      What went wrong, a sentence each.
    """
    client = prometheus_client
    send = client.push_to_gateway if replace else client.pushadd_to_gateway
    try:
        send(url, "pipeline", made, dict(key), timeout=seconds)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return [f"metrics not pushed to {url} (monitoring.pushgateway): {error}"]
    return []
