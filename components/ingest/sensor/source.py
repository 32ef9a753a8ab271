"""Settings of sensor sources: files, and how their readings are cleaned and windowed."""

from typing import Annotated, Literal

import pydantic

from components.ingest.durations import Duration, SignedDuration, parse_duration
from components.ingest.source import FROZEN, Name, Source, check_zone
from components.ingest.spans.settings import Kept

SensorAggregate = Literal[
    "count", "sum", "mean", "std", "min", "max", "first", "last", "slope", "age", "missing"
]
"""As Aggregate; ``missing`` is the share of the expected readings that did not come, 0 to 1."""


class Channel(pydantic.BaseModel):
    """One measured quantity.

    ``column`` is its column in wide files (default: the channel's own name) or its value in the
    channel column of long files. With ``unit``, readings in another unit (told by ``unit_column``)
    are converted. ``stuck`` is how long a value may stay exactly the same before it is rejected.
    """

    model_config = FROZEN

    column: Name | None = None
    range: tuple[float, float] | None = None
    unit: Name | None = None
    unit_column: Name | None = None
    stuck: Duration | None = None
    interval: Duration | None = None

    @pydantic.field_validator("range")
    @classmethod
    def _range_ascends(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("expected [lowest, highest] with lowest < highest")
        return value

    @pydantic.field_validator("unit")
    @classmethod
    def _unit_is_known(cls, value: str | None) -> str | None:
        if value is not None:
            import pint

            try:
                pint.get_application_registry().Unit(value)
            except Exception:
                raise ValueError(
                    "expected a unit that pint knows, such as 'degC' or 'bar'"
                ) from None
        return value

    @pydantic.model_validator(mode="after")
    def _unit_column_needs_unit(self) -> "Channel":
        if self.unit_column is not None and self.unit is None:
            raise ValueError("unit_column needs unit: the unit that readings are converted to")
        return self


class SensorTime(pydantic.BaseModel):
    """Where a reading's time stands and how it is mended.

    ``offsets`` is, by gateway, what to add to its clock's times, or ``estimate``: the offset is
    then estimated against ``received_at``, the clock of the machine that collects.
    """

    model_config = FROZEN

    column: Name
    timezone: Name = "UTC"
    unit: Literal["s", "ms", "us", "ns"] | None = None
    received_at: Name | None = None
    offsets: dict[str, Literal["estimate"] | SignedDuration] = {}

    @pydantic.field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        return check_zone(value)

    @pydantic.field_validator("offsets", mode="before")
    @classmethod
    def _offsets_are_durations(cls, value: object) -> object:
        if isinstance(value, dict):
            for gateway, offset in value.items():
                if isinstance(offset, str) and offset != "estimate":
                    try:
                        parse_duration(offset)
                    except ValueError:
                        raise ValueError(
                            f"{gateway}: {offset!r}: expected a duration such as '-90s', or "
                            "'estimate'"
                        ) from None
        return value

    @pydantic.model_validator(mode="after")
    def _estimate_needs_reference(self) -> "SensorTime":
        if "estimate" in self.offsets.values() and self.received_at is None:
            raise ValueError(
                "an offset of 'estimate' needs received_at: the column with the collector's time"
            )
        return self


class SensorWindow(pydantic.BaseModel):
    """Aggregates over windows that end on a fixed grid: every ``every`` since the epoch.

    ``every`` defaults to ``size`` (tumbling); below it the windows slide. ``aggregate`` is a list
    for all channels, or a list by channel.
    """

    model_config = FROZEN

    size: Duration
    every: Duration | None = None
    aggregate: list[SensorAggregate] | dict[Name, list[SensorAggregate]]

    @property
    def step(self) -> int:
        """Time between the ends of two windows, microseconds."""
        return self.every or self.size

    def aggregates(self, channel: str) -> list[str]:
        """What this window tells of a channel."""
        if isinstance(self.aggregate, dict):
            return list(self.aggregate.get(channel, []))
        return list(self.aggregate)


class SensorSource(Source):
    """Readings in files: ``path`` is a glob or several; ``**`` crosses folders.

    In a ``wide`` file a row holds a column a channel; in a ``long`` one a row is one reading, its
    channel's name under ``channel`` and its value under ``value``. Files of several formats may
    lie under one source.

    A reading that cannot be used is rejected with a reason and kept in the quarantine file; past
    ``max_rejected`` (a share of all readings) the run stops. A value counts as known until a gap:
    a window without a reading repeats the last one if it is at most ``fill`` old at the window's
    end. Times between two readings above ``max_gap`` are reported as gaps.
    """

    kind: Literal["sensor"]
    path: Name | Annotated[list[Name], pydantic.Field(min_length=1)]
    format: Literal["auto", "jsonl", "csv", "parquet"] = "auto"
    layout: Literal["wide", "long"] = "wide"
    channel: Name | None = None
    value: Name | None = None
    gateway: Name | None = None
    time: SensorTime
    channels: Annotated[dict[Name, Channel], pydantic.Field(min_length=1)]
    windows: Annotated[list[SensorWindow], pydantic.Field(min_length=1)]
    interval: Duration | None = None
    max_gap: Duration | None = None
    fill: Duration | None = None
    max_lateness: Duration | None = None
    max_rejected: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.05
    keep: Literal["first", "last"] = "first"
    batch_rows: Annotated[int, pydantic.Field(ge=1, le=10_000_000)] = 200_000
    incremental: Kept | None = None

    @property
    def paths(self) -> list[str]:
        """The globs."""
        return [self.path] if isinstance(self.path, str) else list(self.path)

    def place(self, name: str) -> str:
        """The globs."""
        return ", ".join(self.paths)

    def fingerprint(self, name: str, as_of: int) -> str:
        """See ``sensor.files.watermark``."""
        from components.ingest.sensor.files import watermark

        return watermark(self, name)

    @property
    def lookback(self) -> int:
        """How far before the first observation readings are needed, microseconds."""
        size = max(w.size for w in self.windows)
        return size + max(w.step for w in self.windows) + (self.tolerance or 0) + (self.fill or 0)

    @pydantic.model_validator(mode="after")
    def _fields_fit_together(self) -> "SensorSource":
        if self.layout == "long" and (self.channel is None or self.value is None):
            raise ValueError("layout 'long' needs channel and value: the columns that hold them")
        if self.layout == "long":
            read_by: dict[str, str] = {}
            for name, channel in self.channels.items():
                other = read_by.setdefault(channel.column or name, name)
                if other != name:
                    raise ValueError(
                        f"channels {other!r} and {name!r} are both read from "
                        f"{channel.column or name!r}"
                    )
        if self.layout == "wide" and (self.channel is not None or self.value is not None):
            raise ValueError("channel and value belong to layout 'long'")
        if self.time.offsets and self.gateway is None:
            raise ValueError("time.offsets needs gateway: the column that names the gateway")
        if self.max_lateness is not None and self.time.received_at is None:
            raise ValueError("max_lateness needs time.received_at")
        for index, window in enumerate(self.windows):
            if isinstance(window.aggregate, dict):
                for name in window.aggregate:
                    if name not in self.channels:
                        raise ValueError(
                            f"windows[{index}].aggregate names channel {name!r}; channels are "
                            f"{', '.join(self.channels)}"
                        )
            for name, channel in self.channels.items():
                if "missing" in window.aggregates(name) and not (channel.interval or self.interval):
                    raise ValueError(
                        f"aggregate 'missing' of channel {name!r} needs interval: how often a "
                        "reading is due, on the channel or the source"
                    )
        return self
