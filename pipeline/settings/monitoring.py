"""What stands under ``monitoring:``: where metrics go, and what is watched."""

import urllib.parse
from typing import Annotated

import pydantic

from components.ingest.durations import Duration, parse_duration
from pipeline.settings.drift import Drift
from pipeline.settings.fields import FROZEN, Positive, Text


class Monitoring(pydantic.BaseModel):
    """Where a run's metrics go, and how often a run has to succeed.

    Attributes:
      textfile: a file for node_exporter's textfile collector; its name ends in ``.prom``. By
        default ``metrics/pipeline.prom`` below ``run.directory``.
      pushgateway: a Pushgateway's address; nothing is pushed without one.
      push_seconds: how long it may take to answer.
      success_within: a run that ends well is due so long after the last one that did; the alert
        PipelineOverdue fires later.
      drift: how far what is served may move.
    """

    model_config = FROZEN

    textfile: Text | None = None
    pushgateway: Text | None = None
    push_seconds: Annotated[Positive, pydantic.Field(le=60)] = 3.0
    success_within: Duration = parse_duration("26h")
    drift: Drift = Drift()

    @pydantic.field_validator("textfile")
    @classmethod
    def _is_seen_by_the_collector(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith(".prom"):
            raise ValueError(
                "expected a file whose name ends in .prom, such as 'var/metrics/pipeline.prom': "
                "the textfile collector reads no other"
            )
        return value

    @pydantic.field_validator("pushgateway")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urllib.parse.urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("expected an address such as 'http://pushgateway:9091'")
        return value
