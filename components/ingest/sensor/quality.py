"""What a tally tells: the quality report, and the error of readings that are too bad."""

import collections
from collections.abc import Mapping
from typing import Any

from components.ingest.durations import MICROSECONDS, format_instant
from components.ingest.errors import DataError
from components.ingest.sensor.tally import REASONS, Tally

_FILES_SHOWN = 50


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
      offsets: by gateway what its clock is corrected by, as ``clock_offsets`` tells.
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
