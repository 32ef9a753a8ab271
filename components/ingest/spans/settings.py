"""Settings of reading by day: what stands under a source's ``incremental:``."""

import pydantic
import typing_extensions

from components.ingest.durations import Duration, parse_duration
from components.ingest.fields import FROZEN, Text


class Incremental(pydantic.BaseModel):
    """A source whose days are kept; a run reads those that are new or may have changed.

    ``late`` is how long after its end a day may still get rows or corrections: until then each run
    reads it again. ``keep`` is how long before a run's window a day is kept. ``directory`` is where
    days lie: a folder, or what TFX's file systems open; by default ``days`` in ``run.directory``.
    """

    model_config = FROZEN

    late: Duration | None = None
    keep: Duration = parse_duration("30d")
    directory: Text | None = None

    @pydantic.model_validator(mode="after")
    def _something_tells(self) -> typing_extensions.Self:
        watermark = type(self).model_fields.get("watermark")
        if self.late is None and getattr(self, "watermark", None) is None:
            also = ", or watermark: a query that tells a day's state" if watermark else ""
            raise ValueError(
                "expected late: how long after its end a day may still get rows, such as '3d'"
                + also
            )
        return self


class SqlIncremental(Incremental):
    """As Incremental; ``watermark`` may take the place of ``late`` or stand beside it.

    It is a query with ``:begin`` and ``:end`` whose row changes with the rows of that day: SELECT
    COUNT(*), MAX(updated_at) FROM … WHERE raised_at >= :begin AND raised_at < :end.
    """

    watermark: Text | None = None
