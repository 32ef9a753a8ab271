"""What ``collect:`` must agree on with the sensor sources that it fills."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.ingest.sensor.source import SensorSource
from pipeline.settings.collect import MqttStream, NumberPayload, Stream
from pipeline.settings.errors import Path, Problem
from pipeline.settings.features import near

if TYPE_CHECKING:
    from pipeline.settings.models import Settings


def stream_problems(settings: "Settings") -> Iterator[Problem]:
    """Every way in which a stream doesn't fit its source, without lines."""
    for name, stream in settings.collect.items():
        path: Path = ("collect", name)
        source = settings.sources.get(name)
        if not isinstance(source, SensorSource):
            sensors = [n for n, s in settings.sources.items() if isinstance(s, SensorSource)]
            yield Problem(
                path,
                "is no sensor source: expected the name of one that the readings are for; "
                f"these are {', '.join(sensors) or 'none'}{near(name, sensors)}",
            )
            continue
        yield from _fields(path, source, stream)
        yield from _place(path, name, source, settings.collect_directory(name))
    yield from _apart(settings)


def _apart(settings: "Settings") -> Iterator[Problem]:
    """Streams that would get in each other's way."""
    folders: dict[str, str] = {}
    sessions: dict[tuple[str, str], str] = {}
    for name, stream in settings.collect.items():
        folder = settings.collect_directory(name)
        other = folders.setdefault(folder, name)
        if other != name:
            yield Problem(
                ("collect", name, "directory"),
                f" is {folder!r}, where {other}'s readings land too: expected one of its own",
            )
        if isinstance(stream, MqttStream):
            other = sessions.setdefault((stream.address, stream.client_id), name)
            if other != name:
                yield Problem(
                    ("collect", name, "client_id"),
                    f" is {stream.client_id!r}, as {other}'s: at one broker each needs its own, or "
                    "they push each other out",
                )


def _fields(path: Path, source: SensorSource, stream: Stream) -> Iterator[Problem]:
    # Imported here: it brings Arrow, which most commands do without.
    from components.ingest.sensor.reading import wanted_columns

    wanted = wanted_columns(source)
    for column, field in stream.fields.items():
        place = (*path, "fields", column)
        if column not in wanted.names:
            yield Problem(
                place,
                f"is no column that the source reads: {', '.join(wanted.names)}"
                f"{near(column, wanted.names)}",
            )
        if field == "@key" and isinstance(stream, MqttStream):
            yield Problem(place, " is '@key': MQTT's messages have none")
    if not isinstance(stream.payload, NumberPayload):
        return
    measured = [c for c in wanted.numbers if stream.fields.get(c) == "@payload"]
    if len(wanted.numbers) != 1 or not measured:
        yield Problem(
            (*path, "fields"),
            f"a payload that is a number is one column's: expected {wanted.numbers[0]}: "
            "'@payload', and no other channel in the source; several channels need layout: long",
        )
    for column in wanted.texts:
        received = column == source.time.received_at
        if not stream.fields.get(column, "@arrival" if received else "").startswith("@"):
            yield Problem(
                (*path, "fields", column),
                "a payload that is a number has no fields: expected '@topic[1]' for a level of "
                "the topic, '@key' or '@arrival'",
            )


def _place(path: Path, name: str, source: SensorSource, directory: str) -> Iterator[Problem]:
    landed = f"{directory}/readings/day=2025-01-01/source=a/part-a.parquet"
    rejected = f"{directory}/rejected/day=2025-01-01/part-a.parquet"
    read = [pattern for pattern in source.paths if _matches(pattern, landed)]
    told = ("sources", name, "path")
    if not read or source.format not in ("auto", "parquet"):
        yield Problem(
            told,
            f"doesn't read what is collected: expected '{directory}/readings/**/*.parquet' among "
            "its globs, and format auto or parquet",
        )
    for pattern in source.paths:
        if _matches(pattern, rejected):
            yield Problem(
                told,
                f" is {pattern!r}, which reads rejected messages too: expected "
                f"'{directory}/readings/**/*.parquet'",
            )


def _matches(pattern: str, path: str) -> bool:
    """Whether a glob, where ``**`` crosses folders, names a path."""
    pieces = re.split(r"(\*\*/|\*|\?|\[[^]]+\])", pattern)
    turned = {"**/": r"(?:[^/]+/)*", "*": r"[^/]*", "?": r"[^/]"}
    expression = "".join(
        turned.get(piece) or (piece if piece[:1] == "[" else re.escape(piece)) for piece in pieces
    )
    return re.fullmatch(expression, path) is not None
