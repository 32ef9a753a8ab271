"""Whether the spine and the other sources of rows can be read as the settings say."""

import re
from collections.abc import Iterator

from components.ingest.source import RowSource
from components.ingest.sources import SqlSource
from pipeline.settings.errors import Path, Problem
from pipeline.settings.features import near
from pipeline.settings.models import Settings

_PARAMETERS = ("begin", "end", "as_of")
# As sqlalchemy.text finds them: also in quotes, and not before `::`.
_BOUND = re.compile(r"(?<![:\w\\]):(\w+)(?![:\w])")
_CAST = re.compile(r"(?<![:\w\\]):(\w+)::")


def row_problems(settings: Settings) -> Iterator[Problem]:
    """What the spine lacks, and what databases and queries get wrong."""
    for check in (_spine, _databases, _queries):
        yield from check(settings)


def _spine(settings: Settings) -> Iterator[Problem]:
    sources = settings.sources
    if settings.spine not in sources:
        yield Problem(
            ("spine",),
            f" is {settings.spine!r}: expected the name of a source; sources are "
            f"{', '.join(sources)}{near(settings.spine, sources)}",
        )
        return
    spine, path = sources[settings.spine], ("sources", settings.spine)
    if not isinstance(spine, SqlSource):
        yield Problem(
            (*path, "kind"),
            f" is {spine.kind!r}: expected 'sql', since this source is the spine: one row an "
            "entity and a time, with the label",
        )
        return
    for field in ("windows", "tolerance"):
        if getattr(spine, field):
            yield Problem(
                (*path, field),
                "the spine takes none: windows and tolerance belong to what is joined onto it",
            )


def _databases(settings: Settings) -> Iterator[Problem]:
    spine = settings.sources.get(settings.spine)
    if not isinstance(spine, SqlSource):
        return
    for name, source in settings.sources.items():
        # Without a database of their own other sources lack the spine's, which is told once.
        inherits = name != settings.spine and not (spine.url or spine.url_env)
        lacks = isinstance(source, SqlSource) and not (source.url or source.url_env)
        if lacks and not inherits:
            yield Problem(
                ("sources", name, "url_env"),
                "missing: the environment variable that holds the database's URL, such as "
                "'PLANT_DB_URL' (or url, for a URL without a password); other sources take the "
                "spine's",
            )


def _queries(settings: Settings) -> Iterator[Problem]:
    for name, source in settings.sources.items():
        if not isinstance(source, RowSource):
            continue
        for field in ("query", "watermark") if isinstance(source, SqlSource) else ():
            text = getattr(source, field) or ""
            place: Path = ("sources", name, field)
            cast = _CAST.search(text)
            if cast:
                yield Problem(
                    place,
                    f"takes '{cast.group()}', where a cast can't be told from the parameter: "
                    f"expected CAST(:{cast.group(1)} AS …)",
                )
                continue
            for parameter in dict.fromkeys(_BOUND.findall(text)):
                if parameter not in _PARAMETERS:
                    yield Problem(
                        place,
                        f"takes parameter ':{parameter}', which isn't bound: expected :begin, "
                        f":end or :as_of{near(parameter, _PARAMETERS)} (a colon that is only text "
                        "is written '\\:')",
                    )
        if source.known_at == source.time:
            yield Problem(
                ("sources", name, "known_at"),
                f" is {source.time!r}, as is time: leave it out where rows are known at once",
            )
        if source.entity == source.time:
            yield Problem(
                ("sources", name, "time"),
                f" is {source.time!r}, as is entity: expected two columns",
            )
