"""The pipeline drawn: its stages, how each ended, how long it took, and what came of it."""

import dataclasses
import itertools
from typing import Any

from markupsafe import Markup

from pipeline.report import charts, numbers
from pipeline.report.run import READERS, Report, Run

KINDS = {
    "done": "good",
    "cached": "quiet",
    "skipped": "quiet",
    "waiting": "quiet",
    "running": "busy",
    "stopped": "warn",
    "failed": "bad",
}
"""How good a stage's state is, as the page colours it."""

_WORDS = {"cached": "from cache", "skipped": "taken over", "waiting": "not reached"}
_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Stages:
    """What the section shows: ``rows`` are name, state's kind, state, seconds and result."""

    drawing: Markup
    durations: Markup | None
    rows: list[tuple[str, str, str, float | None, str]]
    seconds: float | None
    told: str


def of(run: Run) -> Stages | None:
    """The section; None where the run ended before it knew its stages."""
    record = run.record
    if not record["nodes"]:
        return None
    results: dict[str, Any] = record.get("results", {})
    rows = []
    for name, state in record["nodes"].items():
        seconds = None if state in ("waiting", "skipped") else record["seconds"].get(name)
        told = _WORDS.get(state, state)
        result = record["decision"] if name == "VersionPusher" else results.get(name, "")
        rows.append((name, KINDS[state], told, seconds, result))
    nodes = [_node(*row) for row in rows]
    ran = [row for row in rows if row[3] is not None and row[2] not in ("from cache",)]
    slowest = sorted(ran, key=lambda row: -(row[3] or 0.0))[:_SHOWN]
    bars = [
        charts.Bar(
            name, seconds or 0.0, numbers.duration(seconds), "s1" if kind == "good" else kind
        )
        for name, kind, _, seconds, _ in slowest
    ]
    counts: dict[str, int] = {}
    for _, _, told, _, _ in rows:
        counts[told] = counts.get(told, 0) + 1
    ended = record.get("ended")
    return Stages(
        charts.graph(
            nodes, _edges(record), "The stages and what goes from one to the next", class_="broad"
        ),
        charts.bars(bars, "Duration by stage") if bars else None,
        rows,
        numbers.seconds_of(ended) - numbers.seconds_of(record["began"]) if ended else None,
        ", ".join(f"{count} {told}" for told, count in counts.items()),
    )


def _node(name: str, kind: str, told: str, seconds: float | None, result: str) -> charts.Node:
    """A stage's box; one that reads a source is called after that."""
    stage, _, source = name.partition("-")
    words = f"{READERS[stage]}, {told}" if source else told
    return charts.Node(
        name,
        source or name,
        f"{words} {numbers.duration(seconds)}" if seconds is not None else words,
        kind if kind != "busy" else "warn",
        f"{name}: {told}. {result}",
    )


def _edges(record: Report) -> list[tuple[str, str]]:
    """Which stage waits for which; runs of older code did not tell, so theirs stand in a row."""
    told = record.get("edges") or itertools.pairwise(record["nodes"])
    return [(before, after) for before, after in told]
