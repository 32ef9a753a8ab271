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
from collections.abc import Mapping
from typing import Any

from components.ingest.durations import MICROSECONDS, format_instant
from components.ingest.errors import DataError

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
_FILES_SHOWN = 50


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


def quality_report(
    tally: Tally,
    files: list[str],
    offsets: Mapping[str, Mapping[str, Any]],
    lacking: Mapping[str, list[str]],
) -> dict[str, Any]:
    """The content of report.json.

    Args:
      tally: of all readings.
      files: the source's files, by index.
      offsets: by gateway what its clock is corrected by, as sensor_clock tells.
      lacking: by column that the settings name, the files whose first rows don't show it.

    Returns:
      A JSON-able dictionary. ``by_file`` holds at most fifty files, those with most rejected first.
    """
    shown = sorted(tally.files, key=lambda index: (-_rejected(tally.files[index]), files[index]))[
        :_FILES_SHOWN
    ]
    return {
        "summary": (
            f"{tally.total('used'):,} of {tally.total('read'):,} readings used, "
            f"{tally.rejected:,} rejected, {sum(tally.windows.values()):,} windows"
        ),
        "readings": {
            "read": tally.total("read"),
            "used": tally.total("used"),
            "missing": tally.total("missing"),
            "ignored": tally.total("ignored"),
            "outside": tally.total("outside"),
            "rejected": tally.rejected,
            "rejected_share": round(tally.rejected_share, 6),
        },
        "rejected": {
            reason: {"readings": count, "means": REASONS[reason]}
            | {"examples": [_shown(row) for row in tally.examples.get(reason, [])]}
            for reason, count in tally.reasons.items()
        },
        "time": {"seen": _instants(tally.seen), "used": _instants(tally.kept)},
        "windows": dict(sorted(tally.windows.items())),
        "channels": {
            channel: _channel(tally, channel, counts)
            for channel, counts in sorted(tally.channels.items())
        },
        "gaps": {
            "by_channel": {
                channel: {"count": count, "longest": _hours(longest)}
                for channel, (count, longest) in sorted(tally.gaps.items())
            },
            "longest": [
                {
                    "entity": entity,
                    "channel": channel,
                    "begin": format_instant(begin),
                    "length": _hours(length),
                }
                for length, entity, channel, begin in tally.worst_gaps
            ],
        },
        "gateways": {
            gateway: {"rows": tally.gateways.get(gateway, 0)} | dict(offsets.get(gateway, {}))
            for gateway in sorted(set(tally.gateways) | set(offsets))
        },
        "files": len(files),
        "files_without": {
            column: {"files": len(paths), "first": paths[0]} for column, paths in lacking.items()
        },
        "by_file": {
            files[index]: {
                outcome: count for outcome, count in sorted(tally.files[index].items()) if count
            }
            for index in shown
        },
    }


def check_tally(name: str, tally: Tally, files: list[str], max_rejected: float) -> None:
    """Stops a run whose readings are too bad, or are none.

    Raises:
      DataError: if more than the share ``max_rejected`` is rejected, or no reading is left.
    """
    if tally.rejected and tally.rejected_share > max_rejected:
        worst = max(tally.files, key=lambda index: (_rejected(tally.files[index]), -index))
        counts = tally.files[worst]
        found = ", ".join(f"{reason} {count:,}" for reason, count in tally.reasons.items())
        raise DataError(
            name,
            files[worst],
            f"{tally.rejected_share:.1%} of readings are rejected, above max_rejected "
            f"{max_rejected:.1%}: {found}. This file has most, {_rejected(counts):,} of "
            f"{counts['read']:,}. For example {_told(tally)}",
            f"Mend the files or what sources.{name} says of ranges, units and times, or raise "
            "max_rejected; all of them are in the quarantine.",
        )
    if not tally.total("used"):
        seen = tally.seen
        span = (
            f"; times in the files run from {format_instant(seen[0])} to {format_instant(seen[1])}"
            if seen
            else ""
        )
        raise DataError(
            name,
            "all files",
            f"none of {tally.total('read'):,} readings lies in the run's time{span}",
            "Choose an --as-of that the files reach, or add files.",
        )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None and key != "reason"}


def _hours(length: int) -> str:
    return f"{length / MICROSECONDS['h']:.2f}h"


def _told(tally: Tally) -> str:
    told = []
    for reason in tally.reasons:
        for row in tally.examples.get(reason, [])[:1]:
            what = " ".join(str(row[key]) for key in ("entity", "channel", "time") if row.get(key))
            value = "" if row.get("value") is None else f" {row['value']!r}"
            told.append(f"{reason}: {row['file']}:{row['line']} {what}{value}".strip()[:200])
    return "; ".join(told)


def _channel(tally: Tally, channel: str, counts: collections.Counter) -> dict[str, Any]:
    bounds = tally.ranges.get(channel)
    rejected = {reason: counts[reason] for reason in REASONS if counts[reason]}
    return {
        "used": counts["used"],
        "missing": counts["missing"],
        "rejected": rejected,
        "min": bounds[0] if bounds else None,
        "max": bounds[1] if bounds else None,
    }


def _rejected(counts: collections.Counter) -> int:
    return sum(counts[reason] for reason in REASONS)


def _instants(pair: tuple[int, int] | None) -> list[str] | None:
    return [format_instant(pair[0]), format_instant(pair[1])] if pair else None


def _widen(a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int] | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a[0], b[0]), max(a[1], b[1])
