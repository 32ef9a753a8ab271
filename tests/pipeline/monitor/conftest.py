"""Requests as the server keeps them, of a small fleet whose truth is known."""

import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import prometheus_client

from serving.server.access_log import Entry
from serving.server.prediction_logs import Exchange
from serving.server.sampling import Sampler, Sampling

DAY = 86_400
BEGIN = int(datetime.datetime(2025, 3, 3, tzinfo=datetime.timezone.utc).timestamp())
MODEL = "plant-failures"


def observed(entity: object, at: float) -> str:
    """What ``x-observation`` says of one row."""
    moment = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
    return f"machine_id={entity}&observed_at={moment:%Y-%m-%dT%H:%M:%SZ}"


def keep(
    folder: Path,
    requests: Sequence[tuple[float, str, Mapping[str, np.ndarray], Mapping[str, np.ndarray]]],
    version: int = 1,
) -> None:
    """Keeps requests: when they came, what they were about, what was asked and answered."""
    everything = Sampling(str(folder), 1.0, 1e12, 1e6, 1e9)
    sampler = Sampler(everything, prometheus_client.CollectorRegistry())
    for at, about, asked, answered in requests:
        while sampler.waiting > 500:
            time.sleep(0.001)
        rows = len(next(iter(asked.values())))
        exchange = Exchange(asked, answered)
        told = {"observation": about, "exchange": exchange, "request_id": f"r{at:g}"}
        sampler.offer(at, Entry("REST", "predict", MODEL, version, rows=rows, **told))
    sampler.close()
