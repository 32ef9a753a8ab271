"""How good answers turned out to be, once their labels are there."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingest import sql
from components.ingest.entities import encode_entities, entity_values
from components.ingest.errors import DataError
from components.ingest.plan import FAR_FUTURE, Times
from components.ingest.sql.entities import Entity, entity_kind, entity_rows
from components.point_in_time_join.asof import as_of
from components.point_in_time_join.feeds import usable_rows
from pipeline.monitor import scores
from pipeline.monitor.baseline import Baseline
from pipeline.monitor.comparison import Comparison
from pipeline.monitor.served import Served
from pipeline.settings import Settings
from serving.online.spine import read_entity
from serving.online.stored import as_stored

_ANSWERS = {
    "binary": ("probabilities", "scores_1", "outputs"),
    "multiclass": ("classes",),
    "regression": ("predictions", "outputs"),
}


@dataclasses.dataclass(frozen=True)
class Quality:
    """What labels say.

    Attributes:
      metric: Evaluator's main one.
      score: of the labelled answers; None where they are too few.
      released: what Evaluator measured when the version was released.
      labelled: answers with a label.
      answers: all answers of the version.
      told: why there is no score, if there is none.
    """

    metric: str
    score: scores.Score | None
    released: float | None
    labelled: int
    answers: int
    told: str = ""


def measure(
    settings: Settings, served: Served, baseline: Baseline
) -> tuple[Quality | None, list[Comparison]]:
    """Joins labels and measures the answers of the baseline's version.

    Args:
      settings: the project's settings.
      served: the examples with their answers.
      baseline: what the release was worth.

    Returns:
      The quality, None where the evaluation has no such metric; and how it compares.

    Raises:
      DataError: if the spine can't be read.
    """
    objective = settings.objective
    if objective is None or objective[0] not in scores.METRICS:
        return None, []
    metric, better = objective
    released = baseline.metrics.get(metric)
    ours = served.versions == baseline.version
    name = next(
        (n for n in _ANSWERS[settings.label.task] if n in served.answers.column_names), None
    )
    if name is None:
        return Quality(metric, None, released, 0, int(ours.sum()), "no such answers were kept"), []
    answer = served.answers[name].combine_chunks()
    ours &= np.asarray(answer.is_valid())
    rows = np.flatnonzero(
        ours & (served.observed >= 0) & np.array([a is not None for a in served.about], bool)
    )
    found = labels(settings, [served.about[row] for row in rows], served.observed[rows])
    known = np.asarray(found.is_valid()) if len(found) else np.zeros(0, bool)
    labelled, answers = int(known.sum()), int(ours.sum())
    told = ""
    if not len(rows):
        told = "no request told what it was about: see x-observation"
    elif labelled < settings.monitoring.drift.min_examples:
        told = "too few labels are there yet"
    if told:
        return Quality(metric, None, released, labelled, answers, told), []
    label, said = _numbers(found.filter(pa.array(known)), answer.take(pa.array(rows[known])))
    score = scores.scored(metric, label, said, served.entities[rows[known]])
    if score is None:
        told = "too few of the rarer outcome are among the labels"
        return Quality(metric, None, released, labelled, answers, told), []
    quality = Quality(metric, score, released, labelled, answers)
    return quality, _compared(settings, quality, better, baseline)


def _compared(
    settings: Settings, quality: Quality, better: str, baseline: Baseline
) -> list[Comparison]:
    score, released = quality.score, quality.released
    if released is None or score is None:
        return []
    bounds = settings.evaluation.metrics[quality.metric]
    lost = released - score.value if better == "higher" else score.value - released
    # What Evaluator measured is of so many examples too.
    evaluated = baseline.metrics.get("example_count") or float("inf")
    deviation = score.deviation * (1 + quality.labelled / evaluated) ** 0.5
    return [
        Comparison(
            "quality",
            quality.metric,
            "lost since release",
            max(0.0, lost),
            bounds.may_drop or bounds.may_rise or 0.0,
            scores.SIGMAS * deviation,
            f"{score.value:.3f} (95 %: {score.low:.3f} to {score.high:.3f}), {released:.3f} when "
            "released",
        )
    ]


def labels(
    settings: Settings, about: Sequence[str | None], observed: npt.NDArray[np.int64]
) -> pa.Array:
    """The labels of entities at times, read and typed as training reads them.

    Args:
      settings: the project's settings.
      about: [n] entities as text.
      observed: int64[n], times, microseconds.

    Returns:
      [n], null where the spine has no row then, or its label may still change: the horizon after
      it is not over.

    Raises:
      DataError: if the spine can't be read.
    """
    name, source, label = settings.spine, settings.spine_source, settings.label
    if not len(observed):
        return pa.nulls(0)
    tolerance = settings.monitoring.drift.label_tolerance
    places, asked = _readable(name, entity_kind(name, source), about)
    settled = sql.latest(name, source) - label.horizon
    begin, end = int(observed.min()) - tolerance, min(int(observed.max()), settled) + 1
    rows = entity_rows(name, source, Times(begin, max(begin, end), FAR_FUTURE))
    if not len(rows) or not asked:
        return pa.nulls(len(observed))
    stored = as_stored(rows)
    usable = usable_rows(stored, name, source.entity, source.time)
    values = entity_values(pa.array(asked), name, source.entity)
    (entity, row_entity), _ = encode_entities([values, usable.entity])
    found = np.full(len(observed), -1, np.int64)
    found[places] = as_of(entity, observed[places], row_entity, usable.time, None, tolerance)
    return usable.table[label.name].combine_chunks().take(pa.array(found, mask=found < 0))


def _readable(name: str, kind: str, about: Sequence[str | None]) -> tuple[list[int], list[Entity]]:
    """Entities of the spine's type, and where they stand: clients send what they like."""
    places, asked = [], []
    for place, text in enumerate(about):
        try:
            entity = read_entity(name, kind, text)
        except DataError:
            continue
        if not isinstance(entity, int) or abs(entity) < 2**63:
            places.append(place)
            asked.append(entity)
    return places, asked


def _numbers(label: pa.Array, answer: pa.Array) -> tuple[scores.Numbers, scores.Numbers]:
    """Both as numbers; names of classes as their places among all that occur."""
    if not (pa.types.is_binary(answer.type) or pa.types.is_string(answer.type)):
        return (np.asarray(a.cast(pa.float64()), np.float64) for a in (label, answer))  # type: ignore[return-value]
    texts = [
        [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in one.to_pylist()]
        for one in (label, answer)
    ]
    places = np.unique([*texts[0], *texts[1]], return_inverse=True)[1].astype(np.float64)
    return places[: len(texts[0])], places[len(texts[0]) :]
