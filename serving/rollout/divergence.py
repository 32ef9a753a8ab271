"""How far the answers of two versions are apart, beyond what chance explains.

The population stability index of binned answers, the sum over bins of (p - q) ln(p / q), is what
credit scoring watches its models with: below 0.1 little has changed, above 0.25 much has
(N. Siddiqi, Credit Risk Scorecards, 2006, ch. 8). Of samples of n and m answers of one distribution
it is about (1/n + 1/m) times a chi-squared variable with one degree of freedom less than there are
bins (B. Yurdakul, Statistical Properties of Population Stability Index, 2018). So of a few answers
it is large by chance, and that much is taken off.

What each request got is compared with nothing: answers given to the wrong requests have the same
distribution.
"""

import math
from collections.abc import Iterator, Mapping

Counts = Mapping[float, float]
"""Answers by the bin's edge."""

_GROUPS = 10
_EMPTY = 0.5
_SIGMAS = 5.0


def divergence(canary: Counts, stable: Counts) -> float:
    """The population stability index beyond chance.

    Bins are put together to about ten groups with as many of the stable version's answers each, as
    is usual; where one bin holds a tenth by itself, what lies on either side stays apart from it.

    Args:
      canary: one version's answers.
      stable: the other's.

    Returns:
      What is left of the index after as much as chance brings about five standard deviations above
      its mean; 0 at least.
    """
    groups = list(_groups(canary, stable))
    n, m = sum(canary.values()), sum(stable.values())
    if len(groups) < 2 or n <= 0 or m <= 0:
        return 0.0
    # Half an answer in each group: an empty one would make the index infinite.
    more = _EMPTY * len(groups)
    shares = [((a + _EMPTY) / (n + more), (b + _EMPTY) / (m + more)) for a, b in groups]
    index = sum((p - q) * math.log(p / q) for p, q in shares)
    free = len(groups) - 1
    chance = (free + _SIGMAS * math.sqrt(2 * free)) * (1 / n + 1 / m)
    return max(0.0, index - chance)


def _groups(canary: Counts, stable: Counts) -> Iterator[tuple[float, float]]:
    least = sum(stable.values()) / _GROUPS
    ours = theirs = 0.0
    for edge in sorted({*canary, *stable}):
        here = stable.get(edge, 0.0)
        if here >= least and ours + theirs > 0:
            yield ours, theirs
            ours = theirs = 0.0
        ours += canary.get(edge, 0.0)
        theirs += here
        if theirs >= least:
            yield ours, theirs
            ours = theirs = 0.0
    if ours + theirs > 0:
        yield ours, theirs
