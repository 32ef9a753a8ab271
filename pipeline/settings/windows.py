"""The columns that a source's windows make, as far as settings tell."""

from components.ingest.durations import format_duration
from components.ingest.kinds import AnySource
from components.ingest.sensor.source import SensorSource
from components.ingest.source import RowSource


def made_columns(name: str, source: AnySource) -> list[str]:
    """The columns that a source's windows make, with the source's prefix.

    A source of rows without windows brings its own columns, which settings can't know.

    Args:
      name: the source's name.
      source: its settings.
    """
    if isinstance(source, RowSource):
        made = [column for window in source.windows for column in window.features()]
    else:
        made = [column for column, _, _ in sensor_columns(source)]
    return [f"{name}_{column}" for column in made]


def sensor_columns(source: SensorSource) -> list[tuple[str, str, str]]:
    """By column that a sensor source makes, without prefix: its channel and its aggregate."""
    return [
        (f"{channel}_{aggregate}_{format_duration(window.size)}", channel, aggregate)
        for window in source.windows
        for channel in source.channels
        for aggregate in window.aggregates(channel)
    ]
