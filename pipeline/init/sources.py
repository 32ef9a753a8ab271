"""The sources that are joined onto the spine: tables of events and of telemetry."""

import re
from typing import Any

from components.ingest.durations import format_duration
from pipeline.init import windows
from pipeline.init.columns import Use, number_columns, unfit
from pipeline.init.facts import Column
from pipeline.init.judge import Part
from pipeline.init.queries import Writer

CATEGORIES = 10
"""Events of more kinds than this are not counted by kind."""

CHANNELS = 40
"""A telemetry table's columns past this many are left out."""


def source_name(text: str, taken: object = ()) -> str:
    """A source's name after a table or file: letters and digits."""
    plain = re.sub(r"[^A-Za-z0-9]", "", text)
    plain = plain if plain[:1].isalpha() else f"source{plain}"
    numbered = [plain, *(f"{plain}{number}" for number in range(2, 100))]
    return next(name for name in numbered if name not in taken)  # type: ignore[operator]


def event_source(
    part: Part, write: Writer, horizon: int, predicted: bool
) -> tuple[dict[str, Any], list[Use]]:
    """A table of events as a source: counts by kind, and hours since the last of each.

    Args:
      part: the table.
      write: writes SQL.
      horizon: how far the label looks ahead, microseconds.
      predicted: whether these events are the label: then what their rows tell of one is left out.
    """
    table, times = part.table, part.times
    assert times is not None
    sizes = windows.event_sizes(horizon, part.runs.span)
    event = next(name for name in ("event", "row", "any_event") if name not in table.columns)
    selected = [f"1 AS {write.quote(event)}"]
    types: dict[str, str] = {}
    short, long, last = {event: ["count"]}, {event: ["count"]}, {event: ["age"]}
    uses = []
    for column in table.columns.values():
        if column.name in (part.entity, times.time, times.known_at):
            continue
        why = unfit(table, column)
        kinds = sorted(map(str, column.known.unique().to_pylist())) if not why else []
        if column.kind == "text" and len(kinds) > CATEGORIES:
            why = f"{len(kinds)} kinds: up to {CATEGORIES} are counted one by one"
        if predicted and column.kind in ("int", "float") and not why:
            why = "tells of the failure itself"
        if why:
            uses.append(Use(table.name, column.name, "", why))
            continue
        if column.kind == "text":
            for kind in kinds:
                name = _kind_name(column.name, kind, {*short, *table.columns})
                test = f"{write.quote(column.name)} = {write.text(kind)}"
                selected.append(f"CASE WHEN {test} THEN 1 END AS {write.quote(name)}")
                types[name] = "int"
                short[name], last[name] = ["count"], ["age"]
            uses.append(Use(table.name, column.name, "counts, ages", f"{len(kinds)} kinds"))
        elif column.kind == "bool":
            selected.append(
                f"CASE WHEN {write.quote(column.name)} THEN 1 END AS {write.quote(column.name)}"
            )
            types[column.name] = "int"
            short[column.name] = ["count"]
            uses.append(Use(table.name, column.name, "counts", "yes or no"))
        else:
            selected.append(write.quote(column.name))
            types[column.name] = "float"
            short[column.name] = ["mean", "max"]
            uses.append(Use(table.name, column.name, "mean, max", column.kind or ""))
    block = _base(part, write, selected, types)
    block["windows"] = [
        {"size": format_duration(size), "aggregate": aggregate}
        for size, aggregate in zip(
            (sizes.short, sizes.long, sizes.every), (short, long, last), strict=True
        )
    ]
    return block, [*_keys(part), *uses]


def telemetry_source(part: Part, write: Writer, horizon: int) -> tuple[dict[str, Any], list[Use]]:
    """A wide table of readings as a source: windows by its rate."""
    assert part.times is not None
    keys = [part.entity, part.times.time, part.times.known_at or ""]
    channels, uses = number_columns(part.table, keys)
    for column in channels[CHANNELS:]:
        at = next(i for i, use in enumerate(uses) if use.column == column.name)
        uses[at] = Use(part.table.name, column.name, "", f"the first {CHANNELS} channels are taken")
    names = [column.name for column in channels[:CHANNELS]]
    sizes = windows.sensor_sizes(part.runs.interval, horizon)
    block = _base(part, write, list(map(write.quote, names)), dict.fromkeys(names, "float"))
    block["windows"] = [
        {
            "size": format_duration(sizes.short),
            "aggregate": {name: ["mean", "std", "min", "max"] for name in names},
        },
        {
            "size": format_duration(sizes.long),
            "aggregate": {name: ["mean", "std", "slope"] for name in names},
        },
    ]
    return block, [*_keys(part), *uses]


def time_settings(time: Column) -> dict[str, Any]:
    """What a source's settings say of its time, beside its name."""
    return {} if time.unit is None else {"time_unit": time.unit}


def _base(part: Part, write: Writer, selected: list[str], types: dict[str, str]) -> dict[str, Any]:
    assert part.times is not None
    keys = [part.entity, part.times.time, *([part.times.known_at] if part.times.known_at else [])]
    lines = ",\n  ".join([", ".join(map(write.quote, keys)), *selected])
    block: dict[str, Any] = {
        "kind": "sql",
        "query": f"SELECT\n  {lines}\nFROM {part.table.source}\n"
        f"WHERE {write.within('', part.time)}\n",
        "entity": part.entity,
        "time": part.times.time,
    }
    if part.times.known_at:
        block["known_at"] = part.times.known_at
    block |= time_settings(part.time)
    # SQLite's values decide their column's type: what the first rows don't show must be told.
    if write.dialect == "sqlite" and types:
        block["types"] = types
    return block


def _keys(part: Part) -> list[Use]:
    assert part.times is not None
    name, times = part.table.name, part.times
    uses = [Use(name, part.entity, "entity", "")]
    uses.append(Use(name, times.time, "time", ""))
    if times.known_at:
        uses.append(Use(name, times.known_at, "known at", "never before the time"))
    return uses


def _kind_name(column: str, kind: str, taken: object) -> str:
    plain = re.sub(r"[^A-Za-z0-9]+", "_", kind).strip("_").lower()
    plain = plain if plain[:1].isalpha() else f"{column}_{plain or 'other'}"
    return next(n for n in (plain, *(f"{plain}_{i}" for i in range(2, 100))) if n not in taken)  # type: ignore[operator]
