"""What a settings file must agree on with itself, beyond each value being right alone."""

import collections
import fnmatch
from collections.abc import Iterator

import pydantic

from components.ingest.durations import format_duration
from components.ingest.sensor.source import SensorSource
from components.ingest.source import RowSource
from components.ingest.sources import SqlSource
from components.ingest.split import TimeSplit
from components.model_evaluator.metrics import METRICS, check_metrics
from components.tuner.settings import Range
from pipeline.settings.beam import Dataflow, Docker
from pipeline.settings.blocks import Training
from pipeline.settings.errors import Path, Problem
from pipeline.settings.features import is_glob, near
from pipeline.settings.models import Settings
from pipeline.settings.problems import problems_of
from pipeline.settings.rows import row_problems
from pipeline.settings.spans import span_problems
from pipeline.settings.streams import stream_problems
from pipeline.settings.windows import made_columns

_SHARES = {
    name for name in METRICS if name.startswith(("auc", "precision", "recall", "f1", "brier"))
} | {"accuracy", "binary_accuracy", "squared_pearson_correlation"}


def disagreements(settings: Settings) -> list[Problem]:
    """Every way in which the settings contradict themselves, without lines."""
    checks = (
        row_problems,
        _columns,
        _features,
        _evaluation,
        _split,
        _nodes,
        _beam,
        _tuning,
        _workers,
        stream_problems,
        span_problems,
    )
    return [problem for check in checks for problem in check(settings)]


def _columns(settings: Settings) -> Iterator[Problem]:
    """No two columns of the joined examples may have one name."""
    folded = collections.defaultdict(list)
    for name in settings.sources:
        folded[name.lower()].append(name)
    for names in folded.values():
        for name in names[1:]:
            yield Problem(
                ("sources", name),
                f"differs from {names[0]!r} in case only; node ids on Kubernetes don't tell "
                "them apart",
            )
    spine = settings.sources.get(settings.spine)
    taken = {settings.label.name: "the label"}
    if isinstance(spine, SqlSource):
        if settings.label.name in (spine.entity, spine.time, spine.known_at):
            yield Problem(
                ("label", "name"),
                f" is {settings.label.name!r}, which is the spine's entity or a time: expected "
                "the column that is predicted",
            )
        taken |= {spine.entity: "the spine's entity", spine.time: "the spine's time"}
    for name, source in settings.sources.items():
        if name == settings.spine:
            continue
        seen: set[str] = set()
        for column in made_columns(name, source):
            if column in taken or column in seen:
                also = taken.get(column, "another window's column")
                yield Problem(
                    ("sources", name, "windows"),
                    f"makes column {column!r}, which is the name of {also} too",
                )
                break
            seen.add(column)


def _features(settings: Settings) -> Iterator[Problem]:
    listed = settings.features.listed()
    first: dict[str, str] = {}
    for kind, name in listed:
        if name == settings.label.name:
            yield Problem(
                ("features", kind),
                f"lists the label, {name!r}: a model that reads its answer learns nothing",
            )
        elif name in first:
            where = "twice" if first[name] == kind else f"under {first[name]} too"
            yield Problem(("features", kind), f"lists {name!r}, which stands {where}")
        first.setdefault(name, kind)
        yield from _made(settings, ("features", kind), name)
    for name in settings.features.exclude:
        if name == settings.label.name:
            yield Problem(
                ("features", "exclude"), f"lists the label, {name!r}, which is never a feature"
            )


def _made(settings: Settings, path: Path, name: str) -> Iterator[Problem]:
    """A name with the prefix of a source whose columns are all known must be one of them."""
    source_name = name.partition("_")[0]
    source = settings.sources.get(source_name)
    if source is None or source_name == settings.spine or "_" not in name:
        return
    if isinstance(source, RowSource) and not source.windows:
        return
    made = made_columns(source_name, source)
    if not (fnmatch.filter(made, name) if is_glob(name) else name in made):
        yield Problem(
            path,
            f"lists {name!r}, which the windows of source {source_name!r} don't make"
            + near(name, made),
        )


def _evaluation(settings: Settings) -> Iterator[Problem]:
    for index, columns in enumerate(settings.evaluation.slices):
        path: Path = ("evaluation", "slices", index)
        for name in columns:
            yield from _made(settings, path, name)
            if name == settings.label.name:
                yield Problem(path, f"slices by the label, {name!r}: expected other columns")
            if is_glob(name):
                yield Problem(path, f"names {name!r}: expected columns by name, not by glob")
        if len(set(columns)) < len(columns):
            yield Problem(path, "names a column twice")
    for name, metric in settings.evaluation.metrics.items():
        place: Path = ("evaluation", "metrics", name)
        try:
            check_metrics(settings.label.task, {name: metric.model_dump()})
        except ValueError as error:
            yield Problem(place, str(error).removeprefix(f"{name}: ").removeprefix(f"{name}."))
        for bound in ("min", "max"):
            value = getattr(metric, bound)
            if name in _SHARES and value is not None and not 0 <= value <= 1:
                yield Problem((*place, bound), f" is {value:g}: expected a number from 0 to 1")
    if settings.label.task == "regression":
        chosen = "class_weights" in settings.training.model_fields_set
        if chosen and settings.training.class_weights == "balanced":
            yield Problem(
                ("training", "class_weights"),
                " is 'balanced', which a label of task 'regression' has no classes for: expected "
                "'none'",
            )


def _split(settings: Settings) -> Iterator[Problem]:
    split, horizon = settings.split, settings.label.horizon
    stretch = split.train if isinstance(split, TimeSplit) else split.window
    if horizon >= stretch:
        key = "train" if isinstance(split, TimeSplit) else "window"
        yield Problem(
            ("label", "horizon"),
            f" is {format_duration(horizon)!r}: expected less than split.{key}, which is "
            f"{format_duration(stretch)!r}",
        )
    for name, source in settings.sources.items():
        if not isinstance(source, SensorSource):
            continue
        for index, window in enumerate(source.windows):
            if window.step > window.size:
                yield Problem(
                    ("sources", name, "windows", index, "every"),
                    f" is {format_duration(window.step)!r}: expected at most size, which is "
                    f"{format_duration(window.size)!r}; else readings fall between windows",
                )


def _beam(settings: Settings) -> Iterator[Problem]:
    if settings.spine not in settings.sources:
        return
    from pipeline.nodes import beam_node_ids

    known = beam_node_ids(settings)
    for name, runner in settings.beam.items():
        if name != "__default__" and name not in known:
            yield Problem(
                ("beam", name),
                f"is no node that runs on Beam; these are {', '.join(known)}{near(name, known)}",
            )
        told = getattr(runner, "environment", runner)
        if (
            isinstance(told, Docker | Dataflow)
            and settings.kubeflow is None
            and not (told.image or told.setup_file)
        ):
            inside = () if told is runner else ("environment",)
            yield Problem(
                ("beam", name, *inside, "image"),
                "missing: the image that workers run in, or setup_file: true; only with kubeflow "
                "is it the node's own",
            )


def _tuning(settings: Settings) -> Iterator[Problem]:
    if settings.tuning is None:
        return
    if settings.objective is None:
        yield Problem(
            ("tuning",),
            "has nothing to tune for: expected a metric under evaluation.metrics of which more, or "
            "less, is better",
        )
    for name, allowed in settings.tuning.space.items():
        place = ("tuning", "space", name)
        values = [allowed.min, allowed.max] if isinstance(allowed, Range) else allowed
        for value in values:
            try:
                Training.model_validate({name: value})
            except pydantic.ValidationError as error:
                (told, *_) = problems_of(error, {name: value}, Training)
                yield told._replace(path=place)
                break


def _workers(settings: Settings) -> Iterator[Problem]:
    # Imported here: it imports Settings itself.
    from pipeline import launch

    yield from launch.problems(settings)


def _nodes(settings: Settings) -> Iterator[Problem]:
    if settings.kubeflow is None or settings.spine not in settings.sources:
        return
    # Imported here: it imports Settings itself.
    from pipeline.nodes import node_ids

    known = node_ids(settings)
    for name in settings.kubeflow.nodes:
        if name != "__default__" and name not in known:
            yield Problem(
                ("kubeflow", "nodes", name),
                f"is no node of this pipeline; nodes are {', '.join(known)}{near(name, known)}",
            )
