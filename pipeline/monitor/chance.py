"""What chance explains: the distances that come about where nothing has moved.

Rows of one entity are alike, so a thousand rows of ten machines tell as much of a fleet as ten
machines do, not a thousand. A formula for independent rows would call each week another world. So
chance is measured: TFDV's own distance between tables that differ by the choice of entities alone.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.anomaly_gate.statistics_files import Statistics
from pipeline.monitor.distances import Kind, distances, statistics_of, values_of

DRAWS = 20
SIGMAS = 3.0
Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Chance:
    """What chance explains, by feature.

    Attributes:
      distance: of the feature's values.
      missing: of the share of rows without a value.
    """

    distance: Mapping[str, float]
    missing: Mapping[str, float]


def of_a_sample(batch: pa.RecordBatch, entities: Ints, kinds: Mapping[str, Kind]) -> Chance:
    """How far a sample lies from what it is drawn of, by the choice of its entities.

    The bootstrap by clusters: as many entities, drawn from the sample with replacement, lie about
    as far from it as it lies from the truth (Davison and Hinkley, Bootstrap Methods and their
    Application, 1997, ch. 3.8).

    Args:
      batch: n rows as TFDV takes them.
      entities: int64[n], whose rows they are.
      kinds: the features.

    Returns:
      The mean over 20 draws and three standard deviations.
    """
    whole = statistics_of(batch)
    return _summed(
        (statistics_of(batch.take(pa.array(rows))), whole, kinds) for rows in _resampled(entities)
    )


def of_a_change(
    now: tuple[pa.RecordBatch, Ints, Ints],
    before: tuple[pa.RecordBatch, Ints, Ints],
    kinds: Mapping[str, Kind],
) -> Chance:
    """How far two stretches of time lie apart where it does not matter which came first.

    A permutation test within entities: of each entity's rows in each stretch the earlier or the
    later half goes to one side, by a coin, and the other half to the other. Both sides hold as
    much of each entity and of each stretch, so that what differs between entities, and what moved
    from one stretch to the next, is on both and cancels out. What is left is how much an entity
    differs from itself.

    Args:
      now: n rows as TFDV takes them, int64[n] whose they are, int64[n] when.
      before: likewise; entities' codes mean the same.
      kinds: the features.

    Returns:
      The mean over 20 draws and three standard deviations.
    """
    rng = np.random.default_rng(0)
    halves = [(batch, codes, _later(codes, times)) for batch, codes, times in (now, before)]

    def pairs() -> Iterator[tuple[Statistics, Statistics, Mapping[str, Kind]]]:
        for _ in range(DRAWS):
            sides: tuple[list[pa.RecordBatch], list[pa.RecordBatch]] = ([], [])
            for batch, codes, later in halves:
                chosen = later ^ (rng.random(1 + int(codes.max())) < 0.5)[codes]
                sides[0].append(batch.filter(pa.array(chosen)))
                sides[1].append(batch.filter(pa.array(~chosen)))
            first, second = map(_joined, sides)
            if first.num_rows and second.num_rows:
                yield statistics_of(first), statistics_of(second), kinds

    return _summed(pairs())


def effective(entities: Ints) -> float:
    """How many entities with equally many rows tell as much: (sum of n)² / sum of n².

    L. Kish, Survey Sampling, 1965, ch. 11.7.
    """
    counts = np.bincount(entities).astype(float)
    return float(counts.sum() ** 2 / max(1.0, (counts**2).sum()))


def _resampled(entities: Ints) -> Iterator[Ints]:
    rng = np.random.default_rng(0)
    order = np.argsort(entities, kind="stable")
    counts = np.bincount(entities)
    stretches = np.split(order, np.cumsum(counts)[:-1])
    for _ in range(DRAWS):
        chosen = rng.integers(len(stretches), size=len(stretches))
        yield np.concatenate([stretches[place] for place in chosen])


def _later(entities: Ints, times: Ints) -> npt.NDArray[np.bool_]:
    """bool[n], whether a row is in the later half of its entity's."""
    order = np.lexsort((times, entities))
    counts = np.bincount(entities)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return 2 * place >= counts[entities]


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    whole = pa.Table.from_batches(batches).combine_chunks()
    return (whole.to_batches() or batches)[0]


def _summed(pairs: Iterable[tuple[Statistics, Statistics, Mapping[str, Kind]]]) -> Chance:
    moved: dict[str, list[float]] = {}
    missed: dict[str, list[float]] = {}
    for new, old, kinds in pairs:
        for name, value in distances(new, old, kinds).items():
            moved.setdefault(name, []).append(value)
        ours, theirs = values_of(new), values_of(old)
        for name in kinds:
            missed.setdefault(name, []).append(abs(ours.get(name, 0.0) - theirs.get(name, 0.0)))
    return Chance(
        {name: _beyond(values) for name, values in moved.items()},
        {name: _beyond(values) for name, values in missed.items()},
    )


def _beyond(values: list[float]) -> float:
    return float(np.mean(values) + SIGMAS * np.std(values, ddof=1)) if len(values) > 1 else 1.0
