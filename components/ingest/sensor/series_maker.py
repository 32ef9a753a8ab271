"""Readings of some entities as one series a channel: in order, without duplicates and stuck values.

Everything here sees all readings of an entity at once: no entity may be spread over two calls.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.ordering import distinct_of, reorder
from components.ingest.sensor.plan import LINE_BITS, Plan
from components.ingest.sensor.quarantine import as_text, rejected_rows, repeat
from components.ingest.sensor.series import Ints, Moments, Series
from components.ingest.sensor.tally import Tally

Bools = npt.NDArray[np.bool_]

_FEW = 3


class SeriesMaker:
    """Makes series of clean readings and counts what is left out.

    Args:
      plan: the settings.
      files: the source's files, by index.
      tally: where everything is counted.

    Attributes:
      rejected: quarantine rows.
    """

    def __init__(self, plan: Plan, files: list[str], tally: Tally) -> None:
        self._plan = plan
        self._files = pa.array(files, pa.string())
        self._tally = tally
        self._entities: pa.Array = pa.nulls(0)
        self.rejected: list[pa.Table] = []

    def make(self, readings: pa.Table) -> tuple[pa.Array, dict[str, Series]]:
        """Orders readings, takes out duplicates and stuck ones, and notes gaps.

        Args:
          readings: as ``Plan.schema`` says, in any order.

        Returns:
          The entities, sorted (int64 or text), and by channel its series; those of a wide file
          with the same readings share their arrays.
        """
        entities, key = _entity_keys(readings.column("entity"))
        columns = {
            name: readings.column(name).to_numpy()
            for name in readings.schema.names
            if name != "entity"
        }
        self._entities = entities
        made = self._long(key, columns) if "value" in columns else self._wide(key, columns)
        result = {}
        for channel, series in made.items():
            series = self._take_stuck(channel, series)
            self._note(channel, series)
            result[channel] = series
        return entities, result

    def _wide(self, key: Ints, columns: dict[str, np.ndarray]) -> dict[str, Series]:
        order = reorder(key, columns["time"])
        moments = _moments(key, columns, order)
        # Only rows with a twin are looked at for duplicates: few.
        twins = _twins(moments)
        result = {}
        for index, channel in enumerate(self._plan.source.channels):
            values = columns.pop(str(index))
            series = Series(moments, values if order is None else values[order])
            kept = ~np.isnan(series.value)
            kept[self._duplicates(channel, series, twins[kept[twins]])] = False
            result[channel] = series if kept.all() else series.take(np.flatnonzero(kept))
        return result

    def _long(self, key: Ints, columns: dict[str, np.ndarray]) -> dict[str, Series]:
        result = {}
        for index, channel in enumerate(self._plan.source.channels):
            rows = np.flatnonzero(columns["channel"] == index)
            order = reorder(key[rows], columns["time"][rows])
            rows = rows if order is None else rows[order]
            series = Series(_moments(key, columns, rows), columns["value"][rows])
            surplus = self._duplicates(channel, series, _twins(series.moments))
            if len(surplus):
                series = series.take(np.delete(np.arange(len(series)), surplus))
            result[channel] = series
        return result

    def _duplicates(self, channel: str, series: Series, rows: Ints) -> Ints:
        """Finds, and rejects, all readings of a moment but the first, or last, to arrive.

        Args:
          channel: its name.
          series: its readings, one at each moment.
          rows: the readings to look at, in order.

        Returns:
          The surplus ones.
        """
        moments = series.moments
        same = _same_moment(moments.key[rows], moments.time[rows])
        if not same.any():
            return rows[:0]
        group = np.cumsum(np.r_[True, ~same])
        arrival = moments.place if moments.received is None else moments.received
        order = np.lexsort((moments.place[rows], arrival[rows], group))
        turn = np.r_[True, np.diff(group) != 0]
        kept = turn if self._plan.source.keep == "first" else np.r_[turn[1:], True]
        surplus = np.sort(rows[order[~kept]])
        self._reject("duplicate", channel, series.take(surplus))
        return surplus

    def _take_stuck(self, channel: str, series: Series) -> Series:
        """Takes out readings whose value has been exactly the same for longer than ``stuck``.

        Those of the first stretch stay: at their time nobody could have known.
        """
        limit = self._plan.source.channels[channel].stuck
        if limit is None or len(series) < 2:
            return series
        changed = np.r_[True, (np.diff(series.key) != 0) | (series.value[1:] != series.value[:-1])]
        began = series.time[np.flatnonzero(changed)][np.cumsum(changed) - 1]
        stuck = series.time - began > limit
        if not stuck.any():
            return series
        self._reject("stuck", channel, series.take(np.flatnonzero(stuck)))
        return series.take(np.flatnonzero(~stuck))

    def _note(self, channel: str, series: Series) -> None:
        counts = self._tally.channels[channel]
        counts["used"] += len(series)
        self._count_by_file("used", series.of(series.moments.file))
        if not len(series):
            return
        self._tally.widen_range(channel, float(series.value.min()), float(series.value.max()))
        _, first, last = series.spans
        self._tally.note_times(int(first.min()), int(last.max()), used=True)
        limit = self._plan.source.max_gap
        if limit is None:
            return
        length = np.diff(series.time)
        gaps = np.flatnonzero((length > limit) & (np.diff(series.key) == 0))
        if not len(gaps):
            return
        known = self._tally.gaps.get(channel, (0, 0))
        longest = int(length[gaps].max())
        self._tally.gaps[channel] = known[0] + len(gaps), max(known[1], longest)
        worst = gaps[np.lexsort((series.time[gaps], -length[gaps]))][:10]
        self._tally.note_gaps(
            [
                (
                    int(length[g]),
                    self._entities[int(series.key[g])].as_py(),
                    channel,
                    int(series.time[g]),
                )
                for g in worst.tolist()
            ]
        )

    def _reject(self, reason: str, channel: str, series: Series) -> None:
        self._tally.channels[channel][reason] += len(series)
        place = series.of(series.moments.place)
        order = np.argsort(place)
        file = place[order] >> LINE_BITS
        self._count_by_file(reason, file)
        rows = rejected_rows(
            self._files.take(pa.array(file)),
            reason,
            place[order] & ((1 << LINE_BITS) - 1),
            readings=1,
            entity=as_text(self._entities.take(pa.array(series.key[order]))),
            channel=repeat(channel, len(series)),
            time=_instants(series.time[order]),
            value=pa.array(series.value[order]).cast(pa.string()),
        )
        self.rejected.append(rows)
        self._tally.note_examples(reason, rows.slice(0, _FEW).to_pylist())

    def _count_by_file(self, outcome: str, file: Ints) -> None:
        counts = np.bincount(file)
        for index in np.flatnonzero(counts).tolist():
            self._tally.files[index][outcome] += int(counts[index])


def _moments(key: Ints, columns: dict[str, np.ndarray], rows: Ints | None) -> Moments:
    """The moments of some rows; None: of all."""

    def of(column: np.ndarray) -> Ints:
        return column if rows is None else column[rows]

    received = columns.get("received")
    return Moments(
        of(key),
        of(columns["time"]),
        None if received is None else of(received),
        of(columns["place"]),
    )


def _twins(moments: Moments) -> Ints:
    """Moments that come several times."""
    repeated = _same_moment(moments.key, moments.time)
    return np.flatnonzero(np.r_[False, repeated] | np.r_[repeated, False])


def _same_moment(key: Ints, time: Ints) -> Bools:
    return (time[1:] == time[:-1]) & (key[1:] == key[:-1])


def _entity_keys(column: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    """The distinct entities, sorted, and each row's index among them."""
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
        entities = column.chunk(0).dictionary if column.num_chunks else pa.array([], pa.string())
        pieces = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in column.chunks]
        codes = np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
        # A dictionary may name entities whose readings went elsewhere.
        used = np.flatnonzero(np.bincount(codes, minlength=len(entities)))
        entities = entities.take(pa.array(used))
        rank = np.empty(int(used.max(initial=-1)) + 1, np.int64)
        order = np.argsort(np.array(entities.to_pylist(), dtype=object), kind="stable")
        rank[used[order]] = np.arange(len(used))
        return entities.take(pa.array(order)), rank[codes]
    distinct, key = distinct_of(column.to_numpy(), 1 << 20)
    return pa.array(distinct), key


def _instants(time: Ints) -> pa.Array:
    # A cast is several times as fast as strftime.
    text = pa.array(time, pa.timestamp("us")).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_replace_slice(text, 10, 11, "T"), "Z", "")
