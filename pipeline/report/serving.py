"""What the serving gate measured, against its budget."""

import dataclasses
import math

from markupsafe import Markup

from pipeline.report import charts, numbers
from pipeline.report.run import Report, Run

_BUSY = 0.2


@dataclasses.dataclass(frozen=True)
class Serving:
    """What the section shows: figures are name, value and note."""

    blessed: bool
    reasons: list[str]
    latency: Markup | None
    figures: list[tuple[str, str, str]]
    budget: list[list[str]]


def of(run: Run) -> Serving | None:
    """The section; None where the gate was not reached."""
    report = run.report("ServingGate", "blessing")
    if report is None:
        return None
    measured, budget = report["measured"], report["budget"]
    return Serving(
        report["blessed"],
        report["reasons"],
        _latency(measured, budget),
        _figures(measured, budget),
        [[name, str(value)] for name, value in budget.items()],
    )


def _latency(measured: Report, budget: Report) -> Markup | None:
    known = [(p, measured.get(f"latency_p{p}_ms")) for p in (50, 95, 99)]
    most = budget["latency_p99_ms"]
    bars = [
        charts.Bar(f"p{p}", value, f"{numbers.decimal(value)} ms", _class(p, value, most))
        for p, value in known
        # Where every request failed there is no time.
        if value is not None and math.isfinite(value)
    ]
    for number, value in enumerate(measured.get("tried_p99_ms", []), 1):
        if len(measured["tried_p99_ms"]) > 1 and math.isfinite(value):
            shown = f"{numbers.decimal(value)} ms"
            bars.append(charts.Bar(f"p99, try {number}", value, shown, "quiet"))
    if not bars:
        return None
    return charts.bars(bars, "Latency", mark=(most, f"budget of p99 {most:g} ms"))


def _class(percentile: int, value: float, most: float) -> str:
    return "s1" if percentile != 99 else "good" if value <= most else "bad"


def _figures(measured: Report, budget: Report) -> list[tuple[str, str, str]]:
    found = []
    if "latency_p99_ms" in measured:
        p99 = numbers.decimal(measured["latency_p99_ms"])
        found.append(("p99 latency", f"{p99} ms", f"budget {budget['latency_p99_ms']:g} ms"))
        told = f"{measured['sent']:,} sent, {measured['failed']:,} failed"
        found.append(("Requests a second", numbers.decimal(measured["rate"]), told))
    if "checked" in measured:
        checked = numbers.count(measured["checked"])
        found.append(("Answers right", checked, "over both APIs, as in process"))
    if "memory_mb" in measured:
        memory = f"{numbers.count(measured['memory_mb'])} MiB"
        found.append(("Memory", memory, f"budget {numbers.count(budget['memory_mb'])} MiB"))
    if measured.get("others_cpu", 0.0) >= _BUSY:
        share = numbers.percent(measured["others_cpu"])
        found.append(("A busy machine", share, "of its processors worked on something else"))
    return found
