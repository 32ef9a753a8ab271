"""SQL sources: bounded memory, Arrow record batches, every row once. Plain functions, no Beam."""

from components.ingest.sql.reading import (
    Plan,
    Preview,
    Times,
    plan,
    preview,
    read_partition,
    read_source,
)
from components.ingest.sql.watermarks import day_watermarks, latest, watermark

__all__ = [
    "Plan",
    "Preview",
    "Times",
    "day_watermarks",
    "latest",
    "plan",
    "preview",
    "read_partition",
    "read_source",
    "watermark",
]
