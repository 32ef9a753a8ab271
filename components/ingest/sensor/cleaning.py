"""Rows of sensor files made into readings: keys, honest times, values in one unit, in range.

What can't be used is told apart with a reason (see tally.py) and kept as quarantine rows.
Duplicates and stuck values need an entity's readings side by side: series_maker finds those.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import MICROSECONDS
from components.ingest.sensor.numbers import conversion, missing_text, to_floats
from components.ingest.sensor.plan import LINE_BITS, Plan, read_entities
from components.ingest.sensor.rejects import Rejects
from components.ingest.sensor.tally import Tally
from components.ingest.sensor.text import Rows
from components.ingest.sensor.times import parse_times
from components.ingest.sensor.work import Work

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FUTURE_TOLERANCE = 5 * MICROSECONDS["m"]
"""How much later than its receipt a reading's time may lie; clocks run by NTP stay within."""

RESET_BEFORE = 366 * MICROSECONDS["d"]
"""Times before are those of a clock that lost its battery, not of a plant."""


class Cleaner:
    """Cleans rows of one file.

    Args:
      plan: what to do.
      file: the file's path.
      index: its index among the source's files.
      tally: where everything is counted.
    """

    def __init__(self, plan: Plan, file: str, index: int, tally: Tally) -> None:
        self._plan = plan
        self._source = plan.source
        self._long = plan.source.layout == "long"
        self._names = list(plan.source.channels)
        self._channels = list(plan.source.channels.values())
        self._place = index << LINE_BITS
        self._tally = tally
        self._counts = tally.files[index]
        self._rejects = Rejects(plan, file, index, tally)

    def take_rejected(self) -> list[pa.Table]:
        """Quarantine rows (see QUARANTINE) since the last call."""
        return self._rejects.take()

    def clean(self, rows: Rows) -> pa.RecordBatch:
        """Turns rows into readings.

        Returns:
          Readings as ``Plan.schema`` says; rows without any are left out.
        """
        count = rows.batch.num_rows + len(rows.malformed)
        self._counts["read"] += count * self._plan.per_row
        self._rejects.malformed(rows.malformed)
        work = Work(rows.batch, rows.lines)
        if self._long:
            self._find_channels(work)
        self._find_entities(work)
        self._find_times(work)
        self._drop_outside(work)
        columns = [work.entity, pa.array(work.time)]
        if work.received is not None:
            columns.append(pa.array(work.received))
        columns.append(pa.array(work.lines + self._place))
        values = self._long_values(work) if self._long else self._wide_values(work)
        return _without_empty_rows(
            pa.RecordBatch.from_arrays([*columns, *values[0]], schema=self._plan.schema), values[1]
        )

    def _find_channels(self, work: Work) -> None:
        """Long files: which channel a row is of; drops rows of others and of none."""
        name = self._source.channel or ""
        keys = [c.column or n for n, c in zip(self._names, self._channels, strict=True)]
        column = work.column(name)
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        index_of = {key: code for code, key in enumerate(keys)}
        present = column.dictionary.to_pylist()
        # One more place for rows without a channel, which end the table.
        code_of = [index_of.get(key, -1 if key else -2) for key in present] + [-2]
        indices = pc.fill_null(column.indices, len(present)).to_numpy(zero_copy_only=False)
        work.codes = np.array(code_of, np.int16)[indices]
        self._rejects.rows(work, "no_channel", work.codes == -2)
        foreign = work.codes == -1
        if foreign.any():
            self._counts["ignored"] += int(foreign.sum())
            work.keep(~foreign)

    def _find_entities(self, work: Work) -> None:
        column = work.column(self._source.entity)
        entity, bad = read_entities(column, self._plan.entity)
        missing = np.array(column.is_null().to_numpy(zero_copy_only=False), bool)
        if self._plan.entity == "int":
            if bad is not None and bad.any() and not pa.types.is_integer(column.type):
                missing |= bad & missing_text(column.cast(pa.string()))
        elif entity.null_count:
            missing |= np.array(entity.is_null().to_numpy(zero_copy_only=False), bool)
        work.entity = entity
        bad = None if bad is None else bad & ~missing
        self._rejects.rows(work, "no_entity", missing, also=[bad])
        if work.also[0] is not None:
            self._rejects.rows(work, "bad_entity", work.also[0])

    def _find_times(self, work: Work) -> None:
        settings = self._source.time
        time = parse_times(work.column(settings.column), settings.unit, settings.timezone)
        work.time = time.instants
        bad = time.bad
        if settings.received_at:
            received = parse_times(
                work.column(settings.received_at), settings.unit, settings.timezone
            )
            work.received = received.instants
            # A receipt that was not noted is taken as immediate.
            work.unreceived = received.missing
            if received.bad is not None:
                bad = received.bad if bad is None else bad | received.bad
        self._rejects.rows(work, "no_time", time.missing, also=[bad])
        self._rejects.rows(work, "bad_time", work.also[0])
        if self._source.gateway:
            self._correct_clocks(work)
        self._rejects.rows(work, "clock_reset", work.time < RESET_BEFORE)
        if work.received is not None and work.unreceived is not None:
            work.received = np.where(work.unreceived, work.time, work.received)

    def _correct_clocks(self, work: Work) -> None:
        column = work.column(self._source.gateway or "")
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        names = column.dictionary.to_pylist()
        codes = pc.fill_null(column.indices, len(names)).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(names) + 1)
        for name, count in zip(names, counts.tolist()[:-1], strict=True):
            self._tally.gateways[name] += count
        offsets = np.array([self._plan.offsets.get(name, 0) for name in names] + [0], np.int64)
        if offsets.any():
            work.time = work.time + offsets[codes]

    def _drop_outside(self, work: Work) -> None:
        if not len(work.time):
            return
        first, last = int(work.time.min()), int(work.time.max())
        self._tally.note_times(first, last, used=False)
        outside = None
        if first < self._plan.begin or last > self._plan.end:
            outside = (work.time < self._plan.begin) | (work.time > self._plan.end)
        if work.received is not None and int(work.received.max()) > self._plan.end:
            unknown = work.received > self._plan.end
            outside = unknown if outside is None else outside | unknown
        if outside is not None:
            self._counts["outside"] += int(outside.sum()) * self._plan.per_row
            work.keep(~outside)

    def _wide_values(self, work: Work) -> tuple[list[pa.Array], Bools]:
        untimely = self._untimely(work)
        columns, empty = [], np.ones(len(work.lines), bool)
        for index, (name, channel) in enumerate(zip(self._names, self._channels, strict=True)):
            key = channel.column or name
            raw = work.column(key) if key in work.batch.schema.names else None
            if raw is None:
                values = np.full(len(work.lines), np.nan)
                self._rejects.count(index, "missing", np.isnan(values))
            else:
                values = self._judge(work, raw, index, untimely)
                empty &= np.isnan(values)
            columns.append(pa.array(values))
        return columns, empty

    def _long_values(self, work: Work) -> tuple[list[pa.Array], Bools]:
        values = self._judge(
            work, work.column(self._source.value or ""), work.codes, self._untimely(work)
        )
        return [pa.array(work.codes), pa.array(values)], np.isnan(values)

    def _judge(
        self,
        work: Work,
        raw: pa.Array,
        channel: int | npt.NDArray[np.int16],
        untimely: list[tuple[str, Bools]],
    ) -> Floats:
        """The values that can be used, NaN elsewhere; the rest is counted and quarantined."""
        values, bad = to_floats(raw)
        if raw.null_count or bad is not None or not np.isfinite(values).all():
            missing = missing_text(raw) if _is_text(raw) else _is_null(raw)
            self._rejects.count(channel, "missing", missing)
            if bad is not None:
                self._rejects.readings(work, raw, channel, "bad_value", bad)
                missing = missing | bad
            wild = ~np.isfinite(values) & ~missing
            self._rejects.readings(work, raw, channel, "not_finite", wild)
            values = np.where(missing | wild, np.nan, values)
        values = self._convert(work, raw, channel, values)
        low, high = self._bounds(channel)
        masks = [("out_of_range", (values < low) | (values > high)), *untimely]
        for reason, mask in masks:
            if not mask.any():
                continue
            mask = mask & ~np.isnan(values)
            self._rejects.readings(work, raw, channel, reason, mask)
            values = np.where(mask, np.nan, values)
        return values

    def _bounds(self, channel: int | npt.NDArray[np.int16]) -> tuple:
        ranges = [c.range or (-np.inf, np.inf) for c in self._channels]
        if isinstance(channel, int):
            return ranges[channel]
        low, high = np.array(ranges, np.float64).T
        return low[channel], high[channel]

    def _convert(
        self,
        work: Work,
        raw: pa.Array,
        channel: int | npt.NDArray[np.int16],
        values: Floats,
    ) -> Floats:
        """Values in the units that the settings ask for; a row without a unit is in it already."""
        for index, settings in enumerate(self._channels):
            name = settings.unit_column
            mine = channel == index
            if name is None or name not in work.batch.schema.names or not np.any(mine):
                continue
            column = work.column(name)
            if not pa.types.is_dictionary(column.type):
                column = column.cast(pa.string()).dictionary_encode()
            units = [unit.strip() for unit in column.dictionary.to_pylist()]
            turns = [conversion(u, settings.unit or "") if u else (1.0, 0.0) for u in units]
            if all(turn == (1.0, 0.0) for turn in turns):
                continue
            table = np.array([turn or (np.nan, np.nan) for turn in turns] + [(1.0, 0.0)])
            codes = pc.fill_null(column.indices, len(units)).to_numpy(zero_copy_only=False)
            scale, offset = table[codes].T
            converted = values * scale + offset
            unknown = np.isnan(scale) & ~np.isnan(values) & mine
            self._rejects.readings(work, raw, channel, "unit", unknown, beside=column)
            values = converted if isinstance(channel, int) else np.where(mine, converted, values)
        return values

    def _untimely(self, work: Work) -> list[tuple[str, Bools]]:
        """Readings received before their time, or too late after it."""
        if work.received is None:
            return []
        delay = work.received - work.time
        masks = [("future", delay < -FUTURE_TOLERANCE)]
        if self._source.max_lateness is not None:
            masks.append(("late", delay > self._source.max_lateness))
        return masks


def _without_empty_rows(batch: pa.RecordBatch, empty: Bools) -> pa.RecordBatch:
    return batch.filter(pa.array(~empty)) if empty.any() else batch


def _is_text(column: pa.Array) -> bool:
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _is_null(column: pa.Array) -> Bools:
    return np.array(column.is_null().to_numpy(zero_copy_only=False), bool)
