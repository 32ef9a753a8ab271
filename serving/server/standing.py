"""How the models stand when they are scraped: tracks, shares of the traffic, and queues."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.server.models import Model

OTHER = "other"


class Standing(Collector):
    """Reads the models anew at each scrape, so that what is gone is not told any more.

    Args:
      models: gives the models by name; called on the event loop, as the scrape is.
    """

    def __init__(self, models: Callable[[], Mapping[str, Model]]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        track = GaugeMetricFamily(
            "serving_version_track",
            "1 for the track that a version is on: its label (stable, canary), else other.",
            labels=("model_name", "version", "track"),
        )
        share = GaugeMetricFamily(
            "serving_traffic_ratio",
            "Share of the requests without a version that go to this one.",
            labels=("model_name", "version"),
        )
        where = ("model_name", "version", "signature")
        rows = GaugeMetricFamily("serving_queue_rows", "Rows that wait for a batch.", labels=where)
        room = GaugeMetricFamily(
            "serving_queue_capacity_rows", "Rows that may wait; more are refused.", labels=where
        )
        for name, model in self._models().items():
            tracks = {number: label for label, number in model.labels.items()}
            for number in model.versions.all:
                track.add_metric((name, str(number), tracks.get(number, OTHER)), 1)
            for number, portion in model.shares().items():
                share.add_metric((name, str(number)), portion)
            for (number, signature), queue in model.queues.items():
                rows.add_metric((name, str(number), signature), queue.rows)
                room.add_metric((name, str(number), signature), queue.capacity)
        yield from (track, share, rows, room)
