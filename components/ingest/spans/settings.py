"""Settings of reading what is new: what stands under a source's ``incremental:``."""

import pydantic
import typing_extensions

from components.ingest.durations import Duration, parse_duration
from components.ingest.fields import FROZEN, Text


class Kept(pydantic.BaseModel):
    """A source of which is kept what was read; a run reads what is new or may have changed.

    ``keep`` is how long before a run's window it is kept. ``directory`` is where: a folder, or what
    TFX's file systems open; by default ``days`` in ``run.directory``.
    """

    model_config = FROZEN

    keep: Duration = parse_duration("30d")
    directory: Text | None = None


class Incremental(Kept):
    """A source of rows, of which days are kept.

    ``late`` is how long after its end a day may still get rows or corrections: until then each run
    reads it again.
    """

    late: Duration | None = None

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
