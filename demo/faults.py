"""What goes wrong between a sensor and the file: every fault is drawn here and recorded as truth.

A reading is taken, may be lost in a gap, may be spoiled (stuck, out of range, missing channel, in
another unit, on a wrong clock), is sent at once or late, sometimes twice, and its line may be cut.
A malformed line carries no other fault, so that each kind can be counted on its own.
"""

import dataclasses

import numpy as np

from demo.options import BEGIN, CHANNELS, DAY, HOUR, Options
from demo.signals import episode_of, read_levels
from demo.wear import Line

SECOND = 1_000_000
FORMATS = ("jsonl", "csv", "parquet", "jsonl", "csv")
WRONG_CLOCK = {3: 90 * SECOND}
"""By gateway, how far its clock runs ahead."""
FAHRENHEIT_GATEWAY = 4
LATE_AFTER = 2 * HOUR
"""A reading is late when it is received more than this after it was taken."""

MISSING = 0.003
OUT_OF_RANGE = 0.0005
MALFORMED = 0.0003
DUPLICATE = 0.005
OVERTAKEN = 0.005
LATE = 0.001
ABSURD = np.array([9999.0, -999.0])

WHOLE, TRUNCATED, FIELD_COUNT, BAD_NUMBER = 0, 1, 2, 3
MALFORMED_KINDS = {TRUNCATED: "truncated", FIELD_COUNT: "field_count", BAD_NUMBER: "bad_number"}


def format_of(gateway: int) -> str:
    """What a gateway writes: jsonl, csv or parquet."""
    return FORMATS[(gateway - 1) % len(FORMATS)]


def fahrenheit_from(options: Options) -> int:
    """When the fourth gateway turns from degC to degF, microseconds since the epoch."""
    return BEGIN + int(options.days * 0.55) * DAY


@dataclasses.dataclass
class Readings:
    """Readings behind one gateway as arrays of one entry a reading (n).

    Attributes:
      machine: int64[n], index into the line.
      time: int64[n], when it was truly taken, microseconds since the epoch.
      received: int64[n], when the gateway's collector had it; its clock is right.
      values: float64[n, 4], as they are to be written; NaN is a missing channel.
      absent: bool[n, 4], missing channels whose key is left out, not written as null.
      malformed: int8[n], one of WHOLE, TRUNCATED, FIELD_COUNT, BAD_NUMBER.
      bad: int8[n], the channel with the bad number or -1.
      copy: bool[n], the second sending of a reading.
    """

    machine: np.ndarray
    time: np.ndarray
    received: np.ndarray
    values: np.ndarray
    absent: np.ndarray
    malformed: np.ndarray
    bad: np.ndarray
    copy: np.ndarray

    def __len__(self) -> int:
        return len(self.time)

    def take(self, which: np.ndarray) -> "Readings":
        """The readings that a mask or indices select."""
        return Readings(*(getattr(self, f.name)[which] for f in dataclasses.fields(self)))

    def plus(self, other: "Readings") -> "Readings":
        """These readings, then the others."""
        return Readings(
            *(
                np.concatenate([getattr(self, f.name), getattr(other, f.name)])
                for f in dataclasses.fields(self)
            )
        )


@dataclasses.dataclass(frozen=True)
class Found:
    """Faults of one kind, one array entry each: the rows of the truth's fault table.

    ``machine`` is an index into the line, ``channel`` one of CHANNELS by number or -1.
    """

    kind: str
    machine: np.ndarray
    channel: np.ndarray
    time: np.ndarray


@dataclasses.dataclass(frozen=True)
class Episodes:
    """Faults that last, drawn once a gateway. Times in microseconds since the epoch.

    Attributes:
      gaps: int64[g, 3]: machine index, begin, end; nothing comes.
      stuck: int64[s, 3]: machine index * 4 + channel, begin, end; the value stays.
      outages: int64[o, 3]: 0, begin, end; readings arrive after the end.
    """

    gaps: np.ndarray
    stuck: np.ndarray
    outages: np.ndarray


def _episodes(
    rng: np.random.Generator,
    options: Options,
    series: int,
    every_days: float,
    hours: tuple[float, float],
) -> np.ndarray:
    count = max(1, rng.poisson(series * options.days / every_days))
    length = (rng.uniform(hours[0], hours[1], count) * 3600).astype(np.int64) * SECOND
    begin = BEGIN + rng.integers(0, options.days * 86_400, count) * SECOND
    rows = np.column_stack([rng.integers(0, series, count), begin, begin + length])
    rows[:, 2] = np.minimum(rows[:, 2], options.end)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    same = rows[1:, 0] == rows[:-1, 0]
    # An hour between two of a series keeps them apart.
    apart = ~same | (rows[1:, 1] > np.maximum.accumulate(rows[:, 2])[:-1] + HOUR)
    return rows[np.concatenate([[True], apart])]


def draw_episodes(options: Options, line: Line) -> Episodes:
    """Draws the gaps, stuck sensors and outages behind a gateway; at least one of each."""
    rng = options.rng(line.machines.gateway, 4)
    m = len(line.machines.machine_id)
    return Episodes(
        gaps=_episodes(rng, options, m, 30.0, (3.0, 14.0)),
        stuck=_episodes(rng, options, m * 4, 160.0, (4.0, 12.0)),
        outages=_episodes(rng, options, 1, 40.0, (4.0, 10.0)),
    )


def take_times(
    options: Options, line: Line, begin: int, end: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Irregular times of the readings that are nominally due in [begin, end).

    Returns:
      Machine index and time, int64[n] each, by machine and time; milliseconds are whole.
    """
    first, last = (
        int(np.ceil((at - BEGIN) / options.interval - 0.5 - 1e-9)) for at in (begin, end)
    )
    slots = np.arange(first, last)
    m = len(line.machines.machine_id)
    nominal = (slots + 0.5 + rng.uniform(-0.35, 0.35, (m, len(slots)))) * options.interval
    time = BEGIN + (nominal / 1000).astype(np.int64) * 1000
    # Where the plant's time is no whole number of intervals, the last reading may be due beyond it.
    time = np.minimum(time, options.end - 1000)
    return np.repeat(np.arange(m), len(slots)), time.ravel()


def spoil(
    options: Options,
    line: Line,
    episodes: Episodes,
    levels: np.ndarray,
    readings: tuple[np.ndarray, np.ndarray, np.ndarray],
    rng: np.random.Generator,
    first: bool,
) -> tuple[Readings, list[Found]]:
    """Turns clean readings into what is sent.

    Args:
      options: the plant.
      line: the gateway's machines.
      episodes: its lasting faults; readings in a gap must already be gone.
      levels: the channels' levels, from which a stuck value is taken.
      readings: machine index, time and clean values.
      rng: this chunk's random numbers.
      first: whether this is the gateway's first chunk, which has every kind of malformed line.

    Returns:
      The readings with their copies, in no order of receipt, and the faults. Late and out-of-order
      ones, and malformed lines, are told by whoever writes the files.
    """
    machine, time, clean = readings
    n, gateway = len(time), line.machines.gateway
    values = clean.copy()

    malformed = np.zeros(n, dtype=np.int8)
    kind = format_of(gateway)
    if kind != "parquet":
        cut = TRUNCATED if kind == "jsonl" else FIELD_COUNT
        broken = rng.random(n) < MALFORMED
        if first:
            broken[: min(n, 8)] = [False, True, False, True, False, True, False, True][: min(n, 8)]
        which = np.nonzero(broken)[0]
        malformed[which] = np.where(np.arange(len(which)) % 2 == 0, cut, BAD_NUMBER)
    whole = malformed == WHOLE
    bad = np.where(malformed == BAD_NUMBER, rng.integers(0, 4, n), -1).astype(np.int8)

    series = np.repeat(machine, 4) * 4 + np.tile(np.arange(4), n)
    episode = episode_of(episodes.stuck, series, np.repeat(time, 4)).reshape(n, 4)
    luck = rng.random((n, 4), dtype=np.float32)
    missing = (luck < MISSING) & whole[:, None]
    absurd = (luck > 1 - OUT_OF_RANGE) & whole[:, None]
    stuck = (episode >= 0) & whole[:, None] & ~missing & ~absurd

    if stuck.any():
        held = read_levels(levels, episodes.stuck[:, 0] // 4, episodes.stuck[:, 1], None)
        held_value = held[np.arange(len(held)), episodes.stuck[:, 0] % 4]
        values[stuck] = held_value[episode[stuck]]
    fahrenheit = is_fahrenheit(options, gateway, time)
    values[fahrenheit, 0] = np.round(values[fahrenheit, 0] * 1.8 + 32.0, 2)
    values[absurd] = ABSURD[rng.integers(0, 2, int(absurd.sum()))]
    values[missing] = np.nan
    absent = missing & (rng.random((n, 4), dtype=np.float32) < 0.5)

    received = time + _latency(options, episodes, time, rng)
    sent = Readings(
        machine, time, received, values, absent, malformed, bad, np.zeros(n, dtype=bool)
    )
    twice = np.nonzero((rng.random(n) < DUPLICATE) & whole)[0]
    again = sent.take(twice)
    again.received = again.received + rng.integers(200, 60_000, len(twice)) * 1000
    again.copy = np.ones(len(twice), dtype=bool)

    found = [
        _found("missing", machine, time, missing),
        _found("out_of_range", machine, time, absurd),
        _found("stuck", machine, time, stuck),
        Found("duplicate", machine[twice], np.full(len(twice), -1), time[twice]),
    ]
    return sent.plus(again), found


def is_fahrenheit(options: Options, gateway: int, time: np.ndarray) -> np.ndarray:
    """Which readings give their temperature in degF: bool[n]."""
    if gateway != FAHRENHEIT_GATEWAY:
        return np.zeros(len(time), dtype=bool)
    return time >= fahrenheit_from(options)


def _found(kind: str, machine: np.ndarray, time: np.ndarray, where: np.ndarray) -> Found:
    row, channel = np.nonzero(where)
    return Found(kind, machine[row], channel, time[row])


def _latency(
    options: Options, episodes: Episodes, time: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """How long each reading travels, microseconds, whole milliseconds: int64[n]."""
    n = len(time)
    seconds = np.minimum(1.5 * np.exp(0.6 * rng.standard_normal(n)), 30.0)
    luck = rng.random(n)
    overtaken = luck < OVERTAKEN
    step = options.interval / SECOND
    seconds[overtaken] += np.minimum(step * rng.uniform(1.5, 3.0, int(overtaken.sum())), 3000.0)
    late = (luck >= OVERTAKEN) & (luck < OVERTAKEN + LATE)
    seconds[late] += rng.uniform(4.0, 36.0, int(late.sum())) * 3600
    outage = episode_of(episodes.outages, np.zeros(n, dtype=np.int64), time)
    cut = outage >= 0
    wait = (episodes.outages[outage[cut], 2] - time[cut]) / SECOND
    seconds[cut] = np.maximum(seconds[cut], wait + rng.uniform(1.0, 600.0, int(cut.sum())))
    return (seconds * 1000).astype(np.int64) * 1000


def channel_name(channel: int) -> str | None:
    """The name of a channel by its number; None for -1."""
    return CHANNELS[channel] if channel >= 0 else None
