"""Whether sources that are read by day can be."""

import re
from collections.abc import Iterator

from components.ingest.mongo.source import MongoSource
from components.ingest.source import RowSource
from components.ingest.sources import SqlSource
from pipeline.settings.errors import Path, Problem
from pipeline.settings.models import Settings


def span_problems(settings: Settings) -> Iterator[Problem]:
    """What keeps days from being read by themselves, or makes them differ from run to run."""
    for name, source in settings.sources.items():
        if not isinstance(source, RowSource) or source.incremental is None:
            continue
        path: Path = ("sources", name)
        if isinstance(source, SqlSource):
            yield from _query((*path, "query"), source.query)
            watermark = source.incremental and source.incremental.watermark
            if watermark:
                yield from _query((*path, "incremental", "watermark"), watermark)
        elif isinstance(source, MongoSource):
            for field in ("filter", "pipeline"):
                if ":as_of" in str(getattr(source, field)):
                    yield _differs((*path, field))


def _query(path: Path, query: str) -> Iterator[Problem]:
    missing = [p for p in (":begin", ":end") if not re.search(rf"{p}\b", query)]
    if missing:
        yield Problem(
            path,
            f"takes no {' and no '.join(missing)}, and incremental reads one day after the other: "
            "expected rows of >= :begin and < :end only",
        )
    if re.search(r":as_of\b", query):
        yield _differs(path)


def _differs(path: Path) -> Problem:
    return Problem(
        path,
        "takes :as_of, so that a day's rows differ from run to run, and incremental would keep "
        "those of the first: leave out one of the two",
    )
