"""The channels of sensor files: their layout, ranges and units."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.errors import DataError
from pipeline.init.columns import Use

_CHANNEL = re.compile(
    r"channel|sensor|tag|metric|signal|variable|parameter|quantity", re.IGNORECASE
)
_MOST_CHANNELS = 64


def channels_of(
    name: str,
    path: str,
    columns: list[str],
    heads: list[pa.Table],
    keys: Sequence[str | None],
) -> tuple[dict[str, dict[str, Any]], list[Use], dict[str, str]]:
    """Finds the channels of wide or long files.

    Args:
      name: the source's name.
      path: where the files are, for messages.
      columns: all of their columns.
      heads: the files' first rows.
      keys: columns with a part of their own: entity, times, gateway.

    Returns:
      The channels' settings by name, what becomes of each column, and the settings of the layout.

    Raises:
      DataError: if there is no channel.
    """
    rest = [column for column in columns if column not in keys]
    numbers = {column: _numbers(heads, column) for column in rest}
    measured = [column for column in rest if len(numbers[column])]
    texts = [column for column in rest if not len(numbers[column])]
    long = next((column for column in texts if _CHANNEL.search(column)), None)
    if long is not None and len(measured) == 1:
        value = measured[0]
        together = pa.concat_tables(
            [
                pa.table({"c": t[long].cast(pa.string()), "v": t[value].cast(pa.float64())})
                for t in heads
                if {long, value} <= set(t.column_names)
            ]
        )
        kinds = together["c"].drop_null().unique().to_pylist()[:_MOST_CHANNELS]
        channels = {
            kind: _channel(
                np.asarray(together.filter(pc.equal(together["c"], kind))["v"].drop_null())
            )
            for kind in sorted(kinds)
        }
        uses = [Use(name, long, "channel", f"{len(kinds)} channels"), Use(name, value, "value", "")]
        uses += [Use(name, c, "", "not read") for c in rest if c not in (long, value)]
        return channels, uses, {"layout": "long", "channel": long, "value": value}
    channels, uses = {}, []
    for column in rest:
        values = numbers[column]
        if not len(values):
            owner = next((c for c in measured if column == f"{c}_unit"), None)
            why = f"unit of {owner}" if owner else "text: channels are numbers"
            uses.append(Use(name, column, "unit" if owner else "", why))
        elif len(channels) == _MOST_CHANNELS:
            uses.append(Use(name, column, "", f"the first {_MOST_CHANNELS} channels are taken"))
        elif values.min() == values.max():
            uses.append(Use(name, column, "", f"constant: always {values[0]:g}"))
        else:
            channels[column] = _channel(values) | _unit(heads, f"{column}_unit")
            low, high = channels[column]["range"]
            uses.append(Use(name, column, "channel", f"valid from {low:g} to {high:g}"))
    if not channels:
        raise DataError(
            name,
            path,
            f"no column holds readings: they are {', '.join(columns)}",
            "Name files with a column of numbers a channel, or a channel and a value column",
        )
    return channels, uses, {}


def _numbers(heads: list[pa.Table], column: str) -> np.ndarray:
    """A column's finite values over all heads; none if it isn't one of numbers."""
    found = []
    for table in heads:
        if column in table.column_names and _is_number(table.schema.field(column).type):
            found.append(np.asarray(table[column].drop_null(), np.float64))
    values = np.concatenate(found) if found else np.zeros(0)
    return values[np.isfinite(values)]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _channel(values: np.ndarray) -> dict[str, Any]:
    """The range of what is usual, three times as wide on either side: broken values lie beyond."""
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 1.0)
    width = 3 * (float(high - low) or max(abs(float(high)), 1.0))
    return {"range": [_two_digits(low - width), _two_digits(high + width)]}


def _two_digits(value: float) -> float:
    rounded = float(f"{value:.2g}")
    return int(rounded) if rounded == int(rounded) else rounded


def _unit(heads: list[pa.Table], column: str) -> dict[str, str]:
    import pint

    found = [t[column].drop_null().to_pylist() for t in heads if column in t.column_names]
    told = [unit for units in found for unit in units]
    if not told:
        return {}
    usual = max(set(told), key=told.count)
    try:
        pint.get_application_registry().Unit(usual)
    except Exception:  # pint raises errors of many kinds for text that is no unit
        return {}
    return {"unit": usual, "unit_column": column}
