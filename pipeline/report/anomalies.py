"""What is wrong with the data, and how far features moved."""

import dataclasses
import json
from typing import Any

from markupsafe import Markup

from pipeline.report import charts, numbers
from pipeline.report.run import Report, Run

_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Anomalies:
    """What the section shows: the gate's report, and a picture by kind of move."""

    summary: str
    stopping: list[Report]
    passing: list[Report]
    moves: list[tuple[str, Markup]]
    compared: bool
    measured: list[list[Any]]


def report_of(run: Run) -> Report | None:
    """AnomalyGate's report, also of a run that it stopped."""
    report = run.report("AnomalyGate", "report")
    number, _ = run.executions.get("AnomalyGate", (0, {}))
    refused = run.root / "pipeline/AnomalyGate/refused" / f"{number}.json"
    if report is None and refused.is_file():
        return dict(json.loads(refused.read_text(encoding="utf-8")))
    return report


def of(run: Run) -> Anomalies | None:
    """The section; None where the gate was not reached."""
    report = report_of(run)
    if report is None:
        return None
    findings = report["findings"]
    titles = {
        "drift": "Train against the champion's train",
        "skew": "Train against eval",
    }
    moves = []
    for kind, title in titles.items():
        # Those that come nearest to what they may.
        nearest = sorted(report[kind], key=lambda m: -_used(m))[:_SHOWN]
        if nearest and _used(nearest[0]):
            bars = [
                charts.Bar(
                    move["feature"],
                    _used(move),
                    f"{numbers.decimal(move['value'], 2)} of {move['threshold']:g}",
                    "bad" if _used(move) > 1 else "s1",
                    f"{move['feature']}: {_measure(move)} {move['value']:.4f}, may be "
                    f"{move['threshold']:g}",
                )
                for move in nearest
            ]
            moves.append((title, charts.bars(bars, title, mark=(1.0, "threshold"))))
    return Anomalies(
        report["summary"],
        [finding for finding in findings if finding["passes"] is None],
        [finding for finding in findings if finding["passes"] is not None],
        moves,
        report["compared_with_champion"],
        [
            [
                kind,
                move["feature"],
                _measure(move),
                f"{move['value']:.4f}",
                f"{move['threshold']:g}",
            ]
            for kind in titles
            for move in sorted(report[kind], key=lambda m: -_used(m))
        ],
    )


def _used(move: Report) -> float:
    return float(move["value"]) / float(move["threshold"]) if move["threshold"] else 0.0


def _measure(move: Report) -> str:
    return str(move["measure"]).replace("_", " ").lower()
