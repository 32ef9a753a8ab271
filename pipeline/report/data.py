"""The data: which sources, how much of each, what was left out and why, and how it is split."""

import dataclasses
from collections.abc import Iterator

from markupsafe import Markup

from components.ingest.durations import MICROSECONDS, parse_duration
from pipeline.report import charts, numbers
from pipeline.report.run import READERS, Report, Run
from pipeline.report.sensors import Sensor, hours, sensor

_PHONE, _DESK = 360.0, 1040.0


@dataclasses.dataclass(frozen=True)
class Source:
    """A source.

    Attributes:
      name: in the settings.
      kind: a value of ``run.READERS``.
      read: rows or readings read.
      used: what went on.
      rejected: by reason, how many.
      first: time of the first row that was used.
      last: of the last.
      matched: share of the observations that found a row of it; None for the spine.
      age: hours between a row and the observation that took it, half of them at most.
      spans: how many of its days or files were read anew, where it is incremental.
    """

    name: str
    kind: str
    read: int
    used: int
    rejected: dict[str, int]
    first: str | None
    last: str | None
    matched: float | None = None
    age: float | None = None
    spans: str = ""

    @property
    def left_out(self) -> int:
        """How many did not go on for a reason."""
        return sum(self.rejected.values())

    @property
    def why(self) -> str:
        """Why, for rows; readings have a picture of that."""
        reasons = self.rejected.items() if self.kind != "sensors" else ()
        return ", ".join(f"{reason} {count:,}" for reason, count in reasons)


@dataclasses.dataclass(frozen=True)
class Data:
    """What the section shows."""

    sources: list[Source]
    sensors: list[Sensor]
    axis: Markup | None
    axis_narrow: Markup | None
    splits: list[tuple[str, Report]]
    classes: Markup | None
    dropped: dict[str, int]
    warnings: list[str]
    horizon: str


def of(run: Run) -> Data | None:
    """The section; None where no source was read."""
    join = run.report("PointInTimeJoin", "report")
    found = list(_sources(run, join))
    if not found:
        return None
    sensors = [
        sensor(name.partition("-")[2], report)
        for name in run.stages("SensorExampleGen")
        if (report := run.report(name, "report")) is not None
    ]
    splits = list(join["splits"].items()) if join else []
    return Data(
        sources=found,
        sensors=sensors,
        axis=_axis(run, found, join, _DESK, "broad"),
        axis_narrow=_axis(run, found, join, _PHONE, "narrow"),
        splits=splits,
        classes=_classes(splits),
        dropped={} if join is None else dict(join["spine"]["dropped"]),
        warnings=[] if join is None else list(join["warnings"]),
        horizon="" if join is None else join["horizon"],
    )


def _sources(run: Run, join: Report | None) -> Iterator[Source]:
    feeds: Report = {} if join is None else join["sources"]
    for stage in (*run.stages("SqlExampleGen"), *run.stages("StoreExampleGen")):
        report, (kind, _, name) = run.report(stage, "report"), stage.partition("-")
        if report is not None:
            feed: Report = feeds.get(name, {})
            outside = report["rows_outside"]
            left = dict(feed.get("left_out", {}))
            if join is not None and join["spine"]["name"] == name:
                left |= join["spine"]["dropped"]
            if outside:
                left["outside the time asked for"] = outside
            yield Source(
                name,
                READERS[kind],
                report["rows"] + outside,
                report["rows"] + outside - sum(left.values()),
                left,
                report["first"],
                report["last"],
                feed.get("matched_share"),
                feed.get("age_median_hours"),
                _spans(report),
            )
    for stage in run.stages("SensorExampleGen"):
        report, name = run.report(stage, "report"), stage.partition("-")[2]
        if report is not None:
            first, last = report["time"]["used"] or (None, None)
            feed = next((feeds[key] for key in feeds if key.partition("/")[0] == name), {})
            yield Source(
                name,
                READERS["SensorExampleGen"],
                report["readings"]["read"],
                report["readings"]["used"],
                {reason: told["readings"] for reason, told in report["rejected"].items()},
                first,
                last,
                feed.get("matched_share"),
                feed.get("age_median_hours"),
                _spans(report),
            )


def _spans(report: Report) -> str:
    spans = report.get("spans")
    if spans is None:
        return ""
    return f"{spans['read']} of {spans['read'] + spans['reused']} {spans['of']} read anew"


def _axis(
    run: Run, sources: list[Source], join: Report | None, width: float, class_: str
) -> Markup | None:
    """Where each source's rows lie in time, and the splits, on one axis."""
    spans = [
        charts.Span(
            one.name,
            numbers.seconds_of(one.first),
            numbers.seconds_of(one.last),
            "quiet",
            f"{numbers.count(one.used)} used",
            f"{one.name}: {numbers.instant(one.first)} to {numbers.instant(one.last)}",
        )
        for one in sources
        if one.first and one.last
    ]
    spans += _gaps(run)
    marks = [(numbers.seconds_of(run.record["as_of"]), "as of")]
    splits = join["splits"] if join else {}
    for number, (split, told) in enumerate(splits.items(), 1):
        spans.append(
            charts.Span(
                "splits",
                numbers.seconds_of(told["begin"]),
                numbers.seconds_of(told["end"]),
                f"s{number}",
                f"{split}: {numbers.count(told['rows'])}",
                f"{split}: {numbers.instant(told['begin'])} to {numbers.instant(told['end'])}, "
                f"{numbers.count(told['rows'])} examples",
            )
        )
    if not spans:
        return None
    return charts.spans(
        spans, "Sources and splits on one axis of time", marks=marks, width=width, class_=class_
    )


def _gaps(run: Run) -> Iterator[charts.Span]:
    for stage in run.stages("SensorExampleGen"):
        report, name = run.report(stage, "report"), stage.partition("-")[2]
        for gap in report["gaps"]["longest"] if report else []:
            begin = numbers.seconds_of(gap["begin"])
            told = f"{name}: {gap['channel']} of {gap['entity']} silent for {hours(gap['length'])}"
            seconds = parse_duration(gap["length"]) / MICROSECONDS["s"]
            yield charts.Span(f"{name}: gaps", begin, begin + seconds, "bad", "", told)


def _classes(splits: list[tuple[str, Report]]) -> Markup | None:
    """Each class's share, train beside eval."""
    if not splits or any("classes" not in told for _, told in splits):
        return None
    names = list(dict.fromkeys(name for _, told in splits for name in told["classes"]))[:20]
    return charts.histograms(
        [
            charts.Histogram(
                split, [], [told["classes"].get(n, 0) / max(told["rows"], 1) for n in names]
            )
            for split, told in splits
        ],
        "Share of each class in train and eval",
        names=names,
    )
