"""How sure a figure is that was measured on so many examples."""

import math

_Z = 1.96
"""A normal distribution holds 95 % within so many standard deviations."""


def of_share(successes: float, trials: float) -> tuple[float, float]:
    """95 % interval of a share, after Wilson (1927): it holds for few trials and near 0 and 1.

    Args:
      successes: how many.
      trials: of how many.
    """
    if trials <= 0:
        return 0.0, 1.0
    share, square = successes / trials, _Z**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    reach = (_Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))) / (
        1 + square / trials
    )
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def of_auc(auc: float, positives: float, negatives: float) -> tuple[float, float] | None:
    """95 % interval of an area under the ROC curve, after Hanley and McNeil (1982).

    Args:
      auc: the area.
      positives: examples of class 1.
      negatives: examples of class 0.

    Returns:
      None where a class has no example.
    """
    if positives < 1 or negatives < 1:
        return None
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (positives - 1) * (one - auc**2) + (negatives - 1) * (two - auc**2)
    ) / (positives * negatives)
    reach = _Z * math.sqrt(max(variance, 0.0))
    return max(auc - reach, 0.0), min(auc + reach, 1.0)
