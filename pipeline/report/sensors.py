"""A sensor source: what was rejected and why, its channels, and where it was silent."""

import dataclasses
from typing import Any

from markupsafe import Markup

from components.ingest.durations import MICROSECONDS, parse_duration
from pipeline.report import charts, numbers
from pipeline.report.run import Report


@dataclasses.dataclass(frozen=True)
class Sensor:
    """What is shown of a sensor source beside what all sources tell."""

    name: str
    rejected: Markup | None
    reasons: list[tuple[str, int, str, list[str]]]
    channels: list[list[Any]]
    gaps: list[list[Any]]
    share: float
    ignored: int
    outside: int

    @property
    def shows(self) -> str:
        """What the picture of rejected readings shows."""
        worst = f" Most: {self.reasons[0][2]}." if self.reasons else ""
        return (
            f"{numbers.percent(self.share)} of the readings were unfit and are kept in the "
            f"quarantine, by reason.{worst} Good: few, and no reason that grows from run to run."
        )


def sensor(name: str, report: Report) -> Sensor:
    """A source's pictures and tables.

    Args:
      name: the source's.
      report: what SensorExampleGen wrote.
    """
    readings = report["readings"]
    rejected = sorted(report["rejected"].items(), key=lambda item: -item[1]["readings"])
    bars = [
        charts.Bar(reason, told["readings"], numbers.count(told["readings"]), "s2", told["means"])
        for reason, told in rejected
    ]
    return Sensor(
        name,
        charts.bars(bars, f"Rejected readings of {name} by reason") if bars else None,
        [
            (reason, told["readings"], told["means"], [_example(e) for e in told["examples"]])
            for reason, told in rejected
        ],
        [
            [
                channel,
                numbers.count(told["used"]),
                numbers.count(told["missing"]),
                numbers.count(sum(told["rejected"].values())),
                numbers.decimal(told["min"]),
                numbers.decimal(told["max"]),
                *_gap(report["gaps"]["by_channel"].get(channel)),
            ]
            for channel, told in report["channels"].items()
        ],
        [
            [gap["entity"], gap["channel"], numbers.instant(gap["begin"]), hours(gap["length"])]
            for gap in report["gaps"]["longest"]
        ],
        readings["rejected_share"],
        readings["ignored"],
        readings["outside"],
    )


def _gap(told: Report | None) -> list[str]:
    return ["0", numbers.NOTHING] if told is None else [str(told["count"]), hours(told["longest"])]


def _example(row: Report) -> str:
    place = f"{row['file']}:{row['line']}"
    told = " ".join(str(row[key]) for key in ("entity", "channel", "time", "value") if key in row)
    return f"{place} {told}"


def hours(length: str) -> str:
    """``'13.99h'`` as ``13 h 59 min``."""
    return numbers.duration(parse_duration(length) / MICROSECONDS["s"])
