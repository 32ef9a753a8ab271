"""One look at what was served: read, compared, measured, judged."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from components.ingest.durations import format_instant
from pipeline.metrics.scheme import Sample
from pipeline.monitor import chance, quality
from pipeline.monitor.baseline import Baseline
from pipeline.monitor.compare import compare
from pipeline.monitor.comparison import Comparison
from pipeline.monitor.quality import Quality
from pipeline.monitor.records import Columns
from pipeline.monitor.served import Served, read_served
from pipeline.settings import Settings


@dataclasses.dataclass(frozen=True)
class Window:
    """A stretch of time, in microseconds since the epoch; the end is excluded."""

    begin: int
    end: int

    @property
    def before(self) -> "Window":
        """As much time before it."""
        return Window(2 * self.begin - self.end, self.begin)


@dataclasses.dataclass(frozen=True)
class Look:
    """What was found.

    Attributes:
      window: which stretch was looked at.
      baseline: what it was compared with.
      served: its examples.
      before: how many examples the stretch before had.
      effective: how many entities with equally many examples tell as much.
      comparisons: what moved furthest first; empty where there were too few examples.
      quality: what labels say; None where nothing is measured.
      notes: what the reader should know.
    """

    window: Window
    baseline: Baseline
    served: Served
    before: int
    effective: float
    comparisons: list[Comparison]
    quality: Quality | None
    notes: list[str]

    @property
    def state(self) -> Literal["moved", "quiet", "too few"]:
        """What it comes to."""
        if not self.comparisons:
            return "too few"
        return "moved" if self.moved else "quiet"

    @property
    def moved(self) -> list[Comparison]:
        """What moved further than it may."""
        return [one for one in self.comparisons if one.moved]

    def document(self) -> dict[str, Any]:
        """All of it for JSON."""
        measured = None
        if self.quality is not None:
            measured = dataclasses.asdict(self.quality)
        return {
            "state": self.state,
            "begin": format_instant(self.window.begin),
            "end": format_instant(self.window.end),
            "version": self.baseline.version,
            "requests": self.served.requests,
            "requests_kept": self.served.drawn_of,
            "examples": len(self.served.about),
            "examples_before": self.before,
            "effective_entities": round(self.effective, 1),
            "notes": self.notes,
            "quality": measured,
            "comparisons": [
                {**dataclasses.asdict(one), "threshold": one.threshold, "moved": one.moved}
                for one in self.comparisons
            ],
        }

    def samples(self, at: float) -> list[Sample]:
        """Its metrics.

        Args:
          at: the time now, seconds since the epoch.
        """
        found = [
            Sample("pipeline_monitor_timestamp_seconds", at),
            Sample("pipeline_monitor_window_seconds", (self.window.end - self.window.begin) / 1e6),
            Sample("pipeline_monitor_examples", len(self.served.about)),
        ]
        for one in self.comparisons:
            labels = {"feature": one.feature, "kind": one.kind}
            found.append(Sample("pipeline_drift_distance", one.distance, labels))
            found.append(Sample("pipeline_drift_threshold", one.threshold, labels))
        return found


def look(settings: Settings, baseline: Baseline, window: Window) -> Look:
    """Looks at a stretch of time.

    Args:
      settings: the project's settings.
      baseline: what the release keeps.
      window: the stretch.

    Raises:
      DataError: if the labels' source can't be read.
    """
    drift, spine = settings.monitoring.drift, settings.spine_source
    sampling = settings.serving.sampling
    assert sampling is not None
    folder = Path(sampling.directory) / settings.serving.model
    kept = {name: kind for name, kind in baseline.types.items() if name not in sampling.drop}
    columns = Columns(kept, spine.entity, spine.time)

    def read(stretch: Window) -> Served:
        return read_served(folder, stretch.begin, stretch.end, columns, drift.max_examples)

    served, before = read(window), read(window.before)
    notes = [f"{damaged}: left out" for damaged in served.damaged]
    untold = sum(name is None for name in served.about)
    if untold:
        notes.append(
            f"{untold:,} of {len(served.about):,} examples do not tell what they are about (the "
            "header x-observation): each request counts as an entity of its own"
        )
    effective = chance.effective(served.entities) if served.about else 0.0
    comparisons: list[Comparison] = []
    measured = None
    if lack := _lack(settings, served, "this stretch"):
        notes.insert(0, lack)
    else:
        previous = _lack(settings, before, "the stretch before")
        if previous:
            notes.append(f"{previous}: no drift is measured from it")
        if baseline.answers is None:
            notes.append(
                f"version {baseline.version} does not keep its answers for the evaluation split: "
                "predictions are compared with the stretch before only"
            )
        comparisons = compare(served, None if previous else before, baseline, drift)
        measured, lost = quality.measure(settings, served, baseline)
        comparisons = sorted([*comparisons, *lost], key=lambda one: one.rank)
    return Look(
        window, baseline, served, len(before.about), effective, comparisons, measured, notes
    )


def _lack(settings: Settings, served: Served, what: str) -> str:
    drift = settings.monitoring.drift
    entities = len(set(served.entities.tolist()))
    if len(served.about) < drift.min_examples:
        return (
            f"{what} has {len(served.about):,} examples, and min_examples is {drift.min_examples}"
        )
    if entities < drift.min_entities:
        return f"{what} is about {entities} entities, and min_entities is {drift.min_entities}"
    return ""
