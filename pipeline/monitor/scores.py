"""Metrics of labelled answers, as Evaluator's of the same names, with an interval.

They are computed by NumPy, many times over: TFMA would take minutes for the draws of an interval.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
DRAWS = 200
SIGMAS = 3.0
_LEAST = 1e-7


def auc(label: Numbers, score: Numbers) -> float:
    """Area under the ROC curve: how often a 1 scores higher than a 0, ties half."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    ones = label > 0.5
    n, m = int(ones.sum()), int((~ones).sum())
    return float((rank[ones].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def average_precision(label: Numbers, score: Numbers) -> float:
    """Area under the precision-recall curve, as steps."""
    order = np.argsort(-score, kind="stable")
    hits = label[order] > 0.5
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()) if hits.any() else float("nan")


def _share(above: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_]) -> float:
    return float(above[of].mean()) if of.any() else float("nan")


def _f1(label: Numbers, score: Numbers) -> float:
    ones, said = label > 0.5, score > 0.5
    both = float((ones & said).sum())
    total = float(ones.sum() + said.sum())
    return 2 * both / total if total else float("nan")


def _log_loss(label: Numbers, score: Numbers) -> float:
    share = np.clip(score, _LEAST, 1 - _LEAST)
    return float(-(label * np.log(share) + (1 - label) * np.log(1 - share)).mean())


def _squared_correlation(label: Numbers, score: Numbers) -> float:
    if label.std() == 0 or score.std() == 0:
        return float("nan")
    return float(np.corrcoef(label, score)[0, 1] ** 2)


METRICS: Mapping[str, Callable[[Numbers, Numbers], float]] = {
    "auc": auc,
    "auc_precision_recall": average_precision,
    "binary_accuracy": lambda label, score: float(((label > 0.5) == (score > 0.5)).mean()),
    "precision": lambda label, score: _share(label > 0.5, score > 0.5),
    "recall": lambda label, score: _share(score > 0.5, label > 0.5),
    "f1_score": _f1,
    "binary_cross_entropy": _log_loss,
    "brier_score": lambda label, score: float(((label - score) ** 2).mean()),
    "accuracy": lambda label, score: float((label == score).mean()),
    "mean_squared_error": lambda label, score: float(((label - score) ** 2).mean()),
    "root_mean_squared_error": lambda label, score: float(((label - score) ** 2).mean() ** 0.5),
    "mean_absolute_error": lambda label, score: float(np.abs(label - score).mean()),
    "mean_absolute_percentage_error": lambda label, score: float(
        100 * (np.abs(label - score) / np.maximum(np.abs(label), _LEAST)).mean()
    ),
    "squared_pearson_correlation": _squared_correlation,
}
"""By Evaluator's name; of multiclass only what needs no class's probability."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A metric with its interval.

    Attributes:
      value: of all rows.
      deviation: its standard deviation, by the choice of entities.
      low: 95 of 100 draws lie between this
      high: and this.
    """

    value: float
    deviation: float
    low: float
    high: float


def scored(
    metric: str, label: Numbers, score: Numbers, entities: npt.NDArray[np.int64]
) -> Score | None:
    """A metric of labelled answers; its deviation by the bootstrap by clusters, see ``chance``.

    Args:
      metric: a name of METRICS.
      label: float64[n].
      score: float64[n], what the model answered.
      entities: int64[n], whose rows these are.

    Returns:
      None where too little is known: the metric has no value, or not in most draws.
    """
    measure = METRICS[metric]
    value = measure(label, score)
    order = np.argsort(entities, kind="stable")
    stretches = np.split(order, np.cumsum(np.bincount(entities))[:-1])
    stretches = [stretch for stretch in stretches if len(stretch)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        chosen = rng.integers(len(stretches), size=len(stretches))
        rows = np.concatenate([stretches[place] for place in chosen])
        drawn.append(measure(label[rows], score[rows]))
    known = np.array(drawn)[np.isfinite(drawn)]
    if not np.isfinite(value) or len(known) < 0.9 * DRAWS:
        return None
    low, high = np.percentile(known, (2.5, 97.5)).tolist()
    return Score(value, float(known.std(ddof=1)), low, high)
