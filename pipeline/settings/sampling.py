"""What stands under ``serving: sampling:``: which requests the server keeps."""

from typing import Annotated

import pydantic

from components.ingest.durations import MICROSECONDS, Duration, parse_duration
from pipeline.settings.fields import FROZEN, Number, Positive, Text


class Sampling(pydantic.BaseModel):
    """Which requests and answers the server keeps, for `python -m pipeline monitor`.

    Without this block none: what users send may be personal, and a server that writes it down
    should have been told to.

    Attributes:
      rate: the share of requests that is kept, drawn at random.
      per_second: examples a second at most.
      keep: how long files stay.
      megabytes: how much they may take, in MB; the oldest go first.
      drop: columns that are never written: personal ones. Without the spine's entity or time no
        label can be joined, and rows of one entity count as independent.
      directory: where the files go.
    """

    model_config = FROZEN

    rate: Annotated[Number, pydantic.Field(gt=0, le=1)] = 0.1
    per_second: Positive = 10.0
    keep: Duration = parse_duration("30d")
    megabytes: Positive = 1_000.0
    drop: list[Text] = []
    directory: Text = "var/samples"

    @property
    def days(self) -> float:
        """``keep`` in days."""
        return self.keep / MICROSECONDS["d"]
