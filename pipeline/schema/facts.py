"""What settings know of columns: facts that statistics can't tell."""

import dataclasses
import fnmatch

from components.ingest.sensor.source import SensorSource
from components.ingest.source import RowSource
from pipeline.settings import Settings
from pipeline.settings.windows import sensor_columns


@dataclasses.dataclass(frozen=True)
class Facts:
    """What holds for columns by their meaning.

    Attributes:
      label: the label's column.
      task: binary, multiclass or regression.
      keys: the entity and the times, which identify rows and are never features.
      entity: the entity column.
      categories: names and globs of columns that are categories, whatever their type.
      windowed: prefixes of the columns that windows make.
      ranges: by column its lowest and highest possible value; None where there is no bound.
    """

    label: str
    task: str
    keys: frozenset[str]
    entity: str
    categories: tuple[str, ...]
    windowed: tuple[str, ...]
    ranges: dict[str, tuple[float | None, float | None]]

    def is_category(self, column: str) -> bool:
        """Whether the settings list the column as categorical."""
        return any(fnmatch.fnmatchcase(column, name) for name in self.categories)

    def is_windowed(self, column: str) -> bool:
        """Whether the column sums up a window: its values have bounds of its aggregate's."""
        return column.startswith(self.windowed)


def facts(settings: Settings) -> Facts:
    """Gathers what the settings tell of columns."""
    ranges: dict[str, tuple[float | None, float | None]] = {}
    for name, source in settings.other_sources.items():
        if isinstance(source, SensorSource):
            for column, channel, aggregate in sensor_columns(source):
                ranges[f"{name}_{column}"] = _range(aggregate, source.channels[channel].range)
        else:
            for column, aggregate in _event_columns(source):
                ranges[f"{name}_{column}"] = _range(aggregate, None)
    spine = settings.spine_source
    return Facts(
        label=settings.label.name,
        task=settings.label.task,
        keys=frozenset(settings.reserved_columns) - {settings.label.name},
        entity=spine.entity,
        categories=tuple(settings.features.categorical),
        windowed=tuple(f"{name}_" for name, s in settings.other_sources.items() if s.windows),
        ranges={column: bounds for column, bounds in ranges.items() if bounds != (None, None)},
    )


def _event_columns(source: RowSource) -> list[tuple[str, str]]:
    return [
        (column, aggregate)
        for window in source.windows
        for column, aggregate in zip(
            window.features(),
            [a for aggregates in window.aggregate.values() for a in aggregates],
            strict=True,
        )
    ]


def _range(
    aggregate: str, channel: tuple[float, float] | None
) -> tuple[float | None, float | None]:
    if aggregate in ("count", "age", "std"):
        return (0.0, None)
    if aggregate == "missing":
        return (0.0, 1.0)
    if channel is not None and aggregate in ("mean", "min", "max", "first", "last"):
        return channel
    return (None, None)
