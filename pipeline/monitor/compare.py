"""What was served beside what was trained on, and beside the time before: what has moved."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.anomaly_gate.statistics_files import Statistics, feature_name
from pipeline.monitor import chance, shares
from pipeline.monitor.baseline import Baseline
from pipeline.monitor.comparison import Comparison
from pipeline.monitor.distances import (
    MEASURES,
    Kind,
    as_examples,
    distances,
    kinds_of,
    statistics_of,
    values_of,
)
from pipeline.monitor.served import Served
from pipeline.settings.drift import Drift

_ANSWER = "answer: "
_SMALLEST = 1 / 128


def compare(
    now: Served, before: Served | None, baseline: Baseline, drift: Drift
) -> list[Comparison]:
    """Compares examples with the release's training and with the stretch before.

    Args:
      now: the examples in question.
      before: those of the stretch before; None to leave drift out.
      baseline: what the release keeps.
      drift: what is allowed.

    Returns:
      All comparisons, what moved furthest first.
    """
    train = baseline.statistics["train"]
    kinds = {
        name: kind
        for name, kind in kinds_of(train).items()
        if name in now.features.column_names and not drift.ignores(name)
    }
    answered = None
    if baseline.answers is not None:
        answered = statistics_of(as_examples(on_their_scale(baseline.answers)))
    outputs = {} if answered is None else kinds_of(answered)
    batch, entities = _batch(now, baseline.version), now.entities
    found, by_chance = statistics_of(batch), chance.of_a_sample(batch, entities, kinds | outputs)
    natural = distances(baseline.statistics.get("eval", train), train, kinds)
    result = [
        Comparison(
            "skew",
            name,
            MEASURES[kinds[name]],
            value,
            max(drift.allowed("skew", name, kinds[name]), natural.get(name, 0.0)),
            by_chance.distance.get(name, 1.0),
            _means(name, found, train, "in training"),
        )
        for name, value in distances(found, train, _told_of(kinds, drift, found)).items()
    ]
    result += shares.missing(found, train, kinds, by_chance, drift)
    result += shares.unseen(now.features, train, baseline, kinds, drift)
    result += shares.out_of_range(now.features, baseline, kinds, drift)
    if answered is not None:
        result += [
            Comparison(
                "prediction",
                name.removeprefix(_ANSWER),
                MEASURES[outputs[name]],
                value,
                drift.prediction,
                by_chance.distance.get(name, 1.0),
            )
            for name, value in distances(found, answered, _told_of(outputs, drift, found)).items()
        ]
    if before is not None:
        result += _drift(now, before, baseline.version, kinds | outputs, natural, drift)
    return sorted(result, key=lambda one: one.rank)


def _drift(
    now: Served,
    before: Served,
    version: int,
    kinds: Mapping[str, Kind],
    natural: Mapping[str, float],
    drift: Drift,
) -> Iterator[Comparison]:
    batches = _in_both(_batch(now, version), _batch(before, version))
    kinds = {name: kind for name, kind in kinds.items() if name in batches[0].schema.names}
    names = [*_names(now, "now"), *_names(before, "before")]
    both = np.unique(names, return_inverse=True)[1].astype(np.int64)
    codes = both[: len(now.about)], both[len(now.about) :]
    by_chance = chance.of_a_change(
        (batches[0], codes[0], now.observed), (batches[1], codes[1], before.observed), kinds
    )
    found, earlier = map(statistics_of, batches)
    moved = distances(found, earlier, _told_of(kinds, drift, found, earlier))
    for name, value in moved.items():
        answer = name.startswith(_ANSWER)
        allowed = drift.prediction if answer else drift.allowed("drift", name, kinds[name])
        yield Comparison(
            "drift",
            name.removeprefix(_ANSWER),
            MEASURES[kinds[name]],
            value,
            max(allowed, natural.get(name, 0.0)),
            by_chance.distance.get(name, 1.0),
            "" if answer else _means(name, found, earlier, "before"),
        )


def _told_of(kinds: Mapping[str, Kind], drift: Drift, *sides: Statistics) -> dict[str, Kind]:
    """Those that have enough values on each side to speak of a distribution."""
    enough = [
        {name for name, share in values_of(side).items() if share * rows >= drift.min_examples}
        for side in sides
        for rows in (side.datasets[0].num_examples,)
    ]
    return {name: kind for name, kind in kinds.items() if all(name in side for side in enough)}


def _means(name: str, new: Statistics, old: Statistics, when: str) -> str:
    """Both sides' means in words; nothing for text."""
    means = [
        feature.num_stats.mean
        for side in (new, old)
        for feature in side.datasets[0].features
        if feature_name(feature) == name and feature.HasField("num_stats")
    ]
    return f"mean {means[0]:.4g}, {means[1]:.4g} {when}" if len(means) == 2 else ""


def _names(served: Served, stretch: str) -> list[str]:
    """Entities that mean the same in both stretches; requests without one never do."""
    return [
        f"{stretch} {request}" if name is None else f"of {name}"
        for name, request in zip(served.about, served.request.tolist(), strict=True)
    ]


def _in_both(now: pa.RecordBatch, before: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Only the columns that have values on both sides: another version answers what it answers."""
    types = [{f.name: f.type for f in side.schema if f.type != pa.null()} for side in (now, before)]
    shared = [name for name, kind in types[0].items() if types[1].get(name) == kind]

    def narrowed(side: pa.RecordBatch) -> pa.RecordBatch:
        places = [side.schema.names.index(name) for name in shared]
        return pa.RecordBatch.from_arrays([side.column(place) for place in places], shared)

    return narrowed(now), narrowed(before)


def _batch(served: Served, version: int) -> pa.RecordBatch:
    """Features and answers of the release as TFDV takes them."""
    table = served.features
    answers = on_their_scale(served.answers)
    others = pa.array(served.versions != version)
    for name in answers.column_names:
        column = answers[name].combine_chunks()
        table = table.append_column(name, pc.if_else(others, pa.scalar(None, column.type), column))
    return as_examples(table)


def on_their_scale(answers: pa.Table) -> pa.Table:
    """Answers under names of their own; probabilities as log odds, alike below 1/128.

    Of the probability of something rare two good models may well say 0.001 and 0.004, and between
    0.1 and 0.3 the world changes.
    """
    made = {}
    for name in answers.column_names:
        column = answers[name]
        if name.startswith("probabilities"):
            share = np.clip(
                np.asarray(column.cast(pa.float64()).fill_null(np.nan)), _SMALLEST, 1 - _SMALLEST
            )
            odds = np.log(share / (1 - share))
            column = pa.array(odds, pa.float32(), mask=np.isnan(odds))
        made[f"{_ANSWER}{name}"] = column
    return pa.table(made)
