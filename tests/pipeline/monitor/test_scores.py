"""Metrics against their definitions, written the slow way."""

import itertools

import numpy as np
import pytest

from components.model_evaluator.metrics import METRICS as EVALUATED
from pipeline.monitor.scores import METRICS, auc, scored


def test_auc_is_how_often_a_one_scores_higher() -> None:
    rng = np.random.default_rng(3)
    label = (rng.random(60) < 0.3).astype(float)
    score = np.round(rng.random(60) + label / 3, 1)  # with ties
    pairs = list(itertools.product(score[label == 1], score[label == 0]))
    wins = sum((one > zero) + 0.5 * (one == zero) for one, zero in pairs)
    assert auc(label, score) == pytest.approx(wins / len(pairs))
    assert np.isnan(auc(np.zeros(5), np.arange(5.0)))


LABEL, SCORE = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.6, 0.2])


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("auc", 3 / 4),
        ("auc_precision_recall", (1 + 2 / 3) / 2),
        ("binary_accuracy", 3 / 4),
        ("precision", 2 / 3),
        ("recall", 1.0),
        ("f1_score", 0.8),
        ("binary_cross_entropy", -np.log([0.9, 0.2, 0.6, 0.8]).mean()),
        ("brier_score", (0.01 + 0.64 + 0.16 + 0.04) / 4),
        ("mean_absolute_error", (0.1 + 0.8 + 0.4 + 0.2) / 4),
        ("root_mean_squared_error", ((0.01 + 0.64 + 0.16 + 0.04) / 4) ** 0.5),
    ],
)
def test_values(metric: str, value: float) -> None:
    assert METRICS[metric](LABEL, SCORE) == pytest.approx(value)


def test_names_are_evaluators() -> None:
    # Calibration and counts have no better side; a class's probability is not kept by name.
    better = {name for name, metric in EVALUATED.items() if metric.better}
    assert better - METRICS.keys() == {"cross_entropy"}
    assert METRICS.keys() <= better


def test_rows_of_one_entity_are_one_piece_of_evidence() -> None:
    """Two hundred rows of ten entities leave as much doubt as ten rows."""
    rng = np.random.default_rng(1)
    label = np.tile([0.0, 1.0], 100)
    score = label + np.repeat(rng.normal(0, 1, 10), 20) * (2 * label - 1)
    of_ten = scored("brier_score", label, score, np.repeat(np.arange(10), 20))
    of_many = scored("brier_score", label, score, np.arange(200))
    assert of_ten is not None and of_many is not None
    assert of_ten.value == of_many.value
    assert of_ten.deviation > 2 * of_many.deviation
    assert of_ten.low < of_ten.value < of_ten.high


def test_too_little_to_say() -> None:
    """One 1 of 100 rows is in two draws of three only."""
    label = np.zeros(100)
    assert scored("auc", label, np.arange(100.0), np.arange(100)) is None
    label[3] = 1
    assert scored("auc", label, np.arange(100.0), np.arange(100)) is None
