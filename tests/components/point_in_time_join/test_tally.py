import numpy as np
import pytest

from components.point_in_time_join import tally


def test_parts_add_up_to_the_whole():
    generator = np.random.default_rng(3)
    values = 1e6 + generator.normal(size=1000)
    ages = generator.exponential(3.6e9, 1000)
    ages[:50] = np.nan
    times = generator.integers(0, 10**15, 1000)

    def part(rows):
        return tally.Tally(
            feeds={"a": tally.FeedTally(rows=len(times[rows]), ages=tally.sketch_ages(ages[rows]))},
            splits={
                "train": tally.SplitTally(
                    span=tally.span(times[rows]), moments=tally.moments(values[rows])
                )
            },
            dropped={"embargo": 1},
            likeness={"f": (10, 3)},
        )

    total = tally.Tally()
    for begin in range(0, 1000, 100):
        total = tally.add(total, part(slice(begin, begin + 100)))
    assert total.feeds["a"].rows == 1000
    assert total.feeds["a"].ages == tally.sketch_ages(ages)
    assert total.splits["train"].span == tally.Span(times.min(), times.max())
    assert total.splits["train"].moments.std == pytest.approx(np.std(values, ddof=1), rel=1e-9)
    assert total.splits["train"].moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert total.dropped == {"embargo": 10}
    assert total.likeness == {"f": (100, 30)}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95, 1.0])
def test_age_quantiles_keep_two_percent(share):
    ages = np.random.default_rng(4).lognormal(20, 3, 10_001)
    found = tally.age_quantile(tally.sketch_ages(ages), share)
    assert found == pytest.approx(np.quantile(ages, share), rel=0.02)


def test_ages_of_zero_and_of_nothing():
    assert tally.age_quantile(tally.sketch_ages(np.zeros(3)), 0.5) == 0
    assert tally.age_quantile(tally.sketch_ages(np.full(3, np.nan)), 0.5) is None
    assert tally.moments(np.array([])).std == 0
    assert tally.span(np.array([], np.int64)) is None


def test_nothing_added_to_nothing():
    assert tally.add(tally.Tally(), tally.Tally()) == tally.Tally()
