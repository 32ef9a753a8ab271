import numpy as np
import pyarrow as pa
import pytest

from components.tuner.holdout import FIT, NEITHER, VALIDATION, TuningError, hold_out, thin

HOUR = 3_600_000_000
TIMES = np.arange(1000, dtype=np.int64) * HOUR
ENTITIES = pa.array(np.arange(1000) % 100)


def test_by_time_the_latest_validates_and_no_label_looks_into_it() -> None:
    order = np.random.default_rng(1).permutation(1000)
    part = hold_out(TIMES[order], ENTITIES, "time", 0.2, 24 * HOUR)
    times = TIMES[order]
    begin = times[part == VALIDATION].min()
    assert (part == VALIDATION).sum() == pytest.approx(200, abs=2)
    assert times[part == FIT].max() + 24 * HOUR < begin
    assert (part == NEITHER).sum() == 24


def test_by_entity_none_is_on_both_sides() -> None:
    part = hold_out(TIMES, ENTITIES, "entity", 0.2, 24 * HOUR)
    entities = ENTITIES.to_numpy()
    learnt, measured = set(entities[part == FIT]), set(entities[part == VALIDATION])
    assert not learnt & measured
    assert len(learnt) + len(measured) == 100
    assert 8 <= len(measured) <= 35


def test_a_part_without_examples_is_told() -> None:
    with pytest.raises(TuningError, match="no examples to learn from, of 1000 in the train split"):
        hold_out(TIMES, ENTITIES, "time", 0.2, 1000 * HOUR)
    with pytest.raises(TuningError, match="no examples to measure on"):
        hold_out(TIMES, pa.array([7] * 1000), "entity", 0.01, 0)


def test_thinning_leaves_about_so_many_and_always_the_same() -> None:
    checksums = np.random.default_rng(2).integers(0, 2**32, 1000, dtype=np.uint32)
    part = hold_out(TIMES, ENTITIES, "time", 0.2, 0)
    whole = part.copy()
    thin(part, checksums, 5000)
    assert (part == whole).all()
    thin(part, checksums, 300)
    assert (part != NEITHER).sum() == pytest.approx(300, abs=50)
    assert {FIT, VALIDATION} < set(part.tolist())
