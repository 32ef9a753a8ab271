"""What became of every reading: counts by file, channel, gateway and reason.

A reading is one value that is due: in a wide file a row holds one for each channel, in a long one a
row is one. Each is counted once, as one of

========  ========================================================================================
used      it went into the windows
missing   its row holds no value for it (wide: an empty cell, or a column that the file lacks)
ignored   of a channel that the settings don't name (long files)
outside   of a time, or received at one, that this run doesn't look at
rejected  for one of REASONS; it lies in the quarantine
========  ========================================================================================

so that ``read == used + missing + ignored + outside + rejected``, always.
"""

import collections
import dataclasses
from typing import Any

UNPLACED = (
    *("malformed", "no_channel", "no_entity", "bad_entity", "no_time", "bad_time", "clock_reset"),
)
"""Reasons that hold for a whole row, found before it is known whether the run looks at its time."""

REASONS = {
    "malformed": "the line is no row",
    "no_channel": "the row names no channel",
    "no_entity": "the row names no entity",
    "bad_entity": "the entity is no number, and the others are",
    "no_time": "the row has no time",
    "bad_time": "the time, or the time of receipt, can't be read or never was",
    "clock_reset": "the clock had lost the date and counts from 1970 again",
    "bad_value": "the value is no number",
    "not_finite": "the value is NaN or infinite",
    "unit": "the unit is unknown or of another dimension",
    "out_of_range": "the value lies outside the channel's range",
    "future": "the reading was received well before its time",
    "late": "the reading was received later than max_lateness after its time",
    "duplicate": "the entity's channel has another reading of the same time",
    "stuck": "the value has been the same for longer than the channel's stuck",
}
"""Why a reading is rejected. The first that holds, in this order, is the one that is told."""

_EXAMPLES = 3
_WORST_GAPS = 10


def _counters() -> collections.defaultdict:
    return collections.defaultdict(collections.Counter)


@dataclasses.dataclass
class Tally:
    """Counts of some readings; tallies of parts add up to that of the whole.

    Attributes:
      files: by file index, counts of ``read``, the outcomes and the reasons.
      channels: by channel, counts of the outcomes and reasons that are known by channel.
      gateways: rows by gateway.
      ranges: by channel, the lowest and highest used value.
      seen: first and last time of all placed readings, microseconds.
      kept: first and last time of the used ones.
      gaps: by channel, how many and the longest, microseconds.
      worst_gaps: (length, entity, channel, begin), longest first.
      examples: a few quarantined rows by reason.
      windows: rows written by split.
    """

    files: dict[int, collections.Counter] = dataclasses.field(default_factory=_counters)
    channels: dict[str, collections.Counter] = dataclasses.field(default_factory=_counters)
    gateways: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    ranges: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    seen: tuple[int, int] | None = None
    kept: tuple[int, int] | None = None
    gaps: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    worst_gaps: list[tuple[int, Any, str, int]] = dataclasses.field(default_factory=list)
    examples: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    windows: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def add(self, other: "Tally") -> None:
        """Adds another tally to this one."""
        for index, counts in other.files.items():
            self.files[index].update(counts)
        for channel, counts in other.channels.items():
            self.channels[channel].update(counts)
        self.gateways.update(other.gateways)
        self.windows.update(other.windows)
        for channel, bounds in other.ranges.items():
            self.widen_range(channel, *bounds)
        self.seen = _widen(self.seen, other.seen)
        self.kept = _widen(self.kept, other.kept)
        for channel, (count, longest) in other.gaps.items():
            known = self.gaps.get(channel, (0, 0))
            self.gaps[channel] = known[0] + count, max(known[1], longest)
        self.note_gaps(other.worst_gaps)
        for reason, rows in other.examples.items():
            self.note_examples(reason, rows)

    def widen_range(self, channel: str, lowest: float, highest: float) -> None:
        """Notes the range of a channel's used values."""
        known = self.ranges.get(channel, (lowest, highest))
        self.ranges[channel] = min(known[0], lowest), max(known[1], highest)

    def note_times(self, first: int, last: int, used: bool) -> None:
        """Notes the times of readings: of all, or of the used ones."""
        if used:
            self.kept = _widen(self.kept, (first, last))
        else:
            self.seen = _widen(self.seen, (first, last))

    def note_gaps(self, gaps: list[tuple[int, Any, str, int]]) -> None:
        """Keeps the longest gaps."""
        self.worst_gaps = sorted(
            self.worst_gaps + gaps, key=lambda gap: (-gap[0], gap[3], gap[2], str(gap[1]))
        )[:_WORST_GAPS]

    def note_examples(self, reason: str, rows: list[dict[str, Any]]) -> None:
        """Keeps the first few quarantined rows of a reason, in the order of files and lines."""
        known = self.examples.get(reason, []) + rows
        self.examples[reason] = sorted(known, key=lambda row: (row["file"], row["line"]))[
            :_EXAMPLES
        ]

    def total(self, outcome: str) -> int:
        """Count over all files of ``read``, an outcome or a reason."""
        return sum(counts[outcome] for counts in self.files.values())

    @property
    def reasons(self) -> dict[str, int]:
        """Rejected readings by reason, only those that occur, in REASONS' order."""
        counts = {reason: self.total(reason) for reason in REASONS}
        return {reason: count for reason, count in counts.items() if count}

    @property
    def rejected(self) -> int:
        """How many readings are rejected."""
        return sum(self.reasons.values())

    @property
    def rejected_share(self) -> float:
        """The share of rejected readings, 0 to 1.

        It is that of the rows that can't be placed in time among all readings, and that of the
        rest among the readings which the run looks at: a long history outside does not hide a
        bad month, nor does its dirt stop a run that doesn't read it.
        """
        read = self.total("read") - self.total("ignored")
        unplaced = sum(self.total(reason) for reason in UNPLACED)
        placed = self.rejected - unplaced
        inside = read - unplaced - self.total("outside")
        broken = unplaced / read if read else 0.0
        return broken + (1 - broken) * (placed / inside if inside else 0.0)


def _widen(a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int] | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a[0], b[0]), max(a[1], b[1])
