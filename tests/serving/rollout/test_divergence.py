"""The index sees what differs, and nothing where only chance does."""

import re

import numpy as np
import pytest

from serving.rollout.divergence import divergence
from serving.server.answer_values import AnswerValues

LIMIT = 0.25


def binned(drawn: np.ndarray) -> dict[float, float]:
    """As the server counts them."""
    values, lines = AnswerValues(), []
    for value in drawn:
        values.add("m", 1, {"y": np.array([value])})
    values.write(lines)
    pairs = (re.search(r'bin="([^"]+)"\} (\d+)', line).groups() for line in lines[2:])
    return {float(edge): float(count) for edge, count in pairs}


def failures(generator, size):
    return generator.beta(0.5, 8, size)


def loads(generator, size):
    return generator.normal(70, 5, size)


def mostly_nothing(generator, size):
    return np.where(generator.random(size) < 0.02, 0.9, 0.0)


@pytest.mark.parametrize("draw", [failures, loads, mostly_nothing])
@pytest.mark.parametrize(("canary", "stable"), [(20, 1980), (200, 1800), (1000, 1000)])
def test_chance_alone_is_no_difference(draw, canary, stable):
    generator = np.random.default_rng(1)
    for _ in range(20):
        ours, theirs = draw(generator, canary), draw(generator, stable)
        assert divergence(binned(ours), binned(theirs)) < LIMIT / 2


@pytest.mark.parametrize(
    ("draw", "wrong"),
    [
        (failures, lambda y: np.minimum(y + 0.3, 1)),
        (failures, lambda y: 1 - y),
        (failures, lambda y: y * 0 + 0.1),
        (failures, lambda y: y * 0),
        (loads, lambda y: y + 12),
        (loads, lambda y: -y),
        (mostly_nothing, lambda y: y + 0.5),
        (lambda generator, size: np.zeros(size), lambda y: y + 1),
    ],
)
def test_wrong_answers_show_after_few(draw, wrong):
    generator = np.random.default_rng(2)
    for canary, stable in ((30, 2970), (100, 900), (300, 300)):
        ours, theirs = wrong(draw(generator, canary)), draw(generator, stable)
        assert divergence(binned(ours), binned(theirs)) > LIMIT


def test_a_retrained_model_passes():
    """Log-odds like those of the demo's two models, whose medians are 0.0017 and 0.0042."""
    normal = np.random.default_rng(3).normal(size=4000)
    before, after = (1 / (1 + np.exp(-m - s * normal)) for m, s in ((-6.4, 2.4), (-5.5, 2.0)))
    assert divergence(binned(after[:2000]), binned(before[2000:])) < LIMIT / 2


def test_without_answers_there_is_nothing_to_compare():
    assert divergence({}, {1.0: 50.0}) == divergence({1.0: 50.0}, {}) == divergence({}, {}) == 0.0
    assert divergence({1.0: 50.0}, {1.0: 5.0}) == 0.0


def test_the_index_of_two_known_distributions():
    """Halves against one and three quarters: 0.25 ln 2 + 0.25 ln 1.5, and next to no chance."""
    canary, stable = {1.0: 5e8, 2.0: 5e8}, {1.0: 2.5e8, 2.0: 7.5e8}
    assert divergence(canary, stable) == pytest.approx(0.25 * np.log(3), abs=1e-6)
