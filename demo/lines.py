"""Readings as the text of JSONL and CSV files, or as a Parquet table; no loop runs per reading."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demo.faults import BAD_NUMBER, FIELD_COUNT, TRUNCATED, WHOLE, Readings
from demo.options import CHANNELS

CSV_HEADER = (
    "machine_id,gateway,ts,received_at,temperature,vibration,pressure,rotation,temperature_unit\n"
)
_UTC = pa.timestamp("us", tz="UTC")


def instants(time: np.ndarray) -> pa.Array:
    """Instants as Arrow timestamps in UTC, from int64 microseconds."""
    return pa.array(time.astype("datetime64[us]")).cast(_UTC)


def _instant_texts(time: np.ndarray) -> pa.Array:
    text = pc.cast(pa.array((time // 1000).astype("datetime64[ms]")), pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), "Z", "")


def _number_texts(values: np.ndarray) -> pa.Array:
    """Shortest texts of floats; NaN is null."""
    return pc.cast(pa.array(values, from_pandas=True), pa.string())


def _units(fahrenheit: np.ndarray) -> pa.Array:
    return pc.if_else(pa.array(fahrenheit), "degF", "degC")


def to_table(
    rows: Readings, machine_id: np.ndarray, gateway: str, clock: int, fahrenheit: np.ndarray
) -> pa.Table:
    """The readings as an Arrow table, in the layout of all three formats.

    Args:
      rows: the readings.
      machine_id: int64[n], the machines' numbers.
      gateway: its name.
      clock: how far the gateway's clock runs ahead, microseconds.
      fahrenheit: bool[n], whether the temperature is in degF.
    """
    columns = {
        "machine_id": pa.array(machine_id),
        "gateway": pa.array([gateway], pa.string()).take(pa.array(np.zeros(len(rows), np.int64))),
        "ts": instants(rows.time + clock),
        "received_at": instants(rows.received),
    }
    for number, name in enumerate(CHANNELS):
        columns[name] = pa.array(np.ascontiguousarray(rows.values[:, number]), from_pandas=True)
    columns["temperature_unit"] = _units(fahrenheit)
    return pa.table(columns)


def to_jsonl(
    rows: Readings, machine_id: np.ndarray, gateway: str, clock: int, fahrenheit: np.ndarray
) -> memoryview:
    """The readings as JSON lines; arguments as to_table."""
    parts: list = [
        '{"machine_id": ',
        pc.cast(pa.array(machine_id), pa.string()),
        f', "gateway": "{gateway}", "ts": "',
        _instant_texts(rows.time + clock),
        '", "received_at": "',
        _instant_texts(rows.received),
        '"',
    ]
    for number, name in enumerate(CHANNELS):
        text = pc.fill_null(_number_texts(np.ascontiguousarray(rows.values[:, number])), "null")
        text = pc.if_else(pa.array(rows.bad == number), '"ERR"', text)
        field = pc.binary_join_element_wise(f', "{name}": ', text, "")
        parts.append(pc.if_else(pa.array(rows.absent[:, number]), "", field))
    parts += [', "temperature_unit": "', _units(fahrenheit), '"}\n']
    lines = pc.binary_join_element_wise(*parts, "")
    return _text(_cut(lines, rows))


def to_csv(
    rows: Readings, machine_id: np.ndarray, gateway: str, clock: int, fahrenheit: np.ndarray
) -> memoryview:
    """The readings as CSV lines without the header; arguments as to_table."""
    fields: list = [
        pc.cast(pa.array(machine_id), pa.string()),
        gateway,
        _instant_texts(rows.time + clock),
        _instant_texts(rows.received),
    ]
    for number in range(len(CHANNELS)):
        text = pc.fill_null(_number_texts(np.ascontiguousarray(rows.values[:, number])), "")
        fields.append(pc.if_else(pa.array(rows.bad == number), "ERR", text))
    fields.append(pc.binary_join_element_wise(_units(fahrenheit), "\n", ""))
    return _text(_cut(pc.binary_join_element_wise(*fields, ","), rows))


def _cut(lines: pa.Array, rows: Readings) -> pa.Array:
    """Mangles the few malformed lines; those with a bad number already are."""
    mangled = (rows.malformed != WHOLE) & (rows.malformed != BAD_NUMBER)
    where = np.nonzero(mangled)[0]
    if len(where) == 0:
        return lines
    texts = []
    for row, text in zip(where, lines.take(pa.array(where)).to_pylist(), strict=True):
        if rows.malformed[row] == TRUNCATED:
            texts.append(text[: 20 + (int(rows.time[row]) // 1000) % (len(text) - 24)] + "\n")
        elif rows.malformed[row] == FIELD_COUNT and row % 2:
            texts.append(text[:-1] + ",17\n")
        else:
            texts.append(text.rsplit(",", 2)[0] + "\n")
    return pc.replace_with_mask(lines, pa.array(mangled), pa.array(texts, pa.string()))


def _text(lines: pa.Array) -> memoryview:
    """All lines as one run of bytes: a string array's data lie end to end already."""
    if len(lines) == 0:
        return memoryview(b"")
    whole = pa.concat_arrays([lines])
    offsets = np.frombuffer(whole.buffers()[1], dtype=np.int32)[whole.offset :][: len(whole) + 1]
    return memoryview(whole.buffers()[2])[int(offsets[0]) : int(offsets[-1])]
