"""Rows ordered by a key and a time, and instants found among them.

Key and time are packed into one number where 63 bits hold both, which sorts and bisects several
times as fast as two columns.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.ingest.threads import map_ahead

Ints = npt.NDArray[np.int64]

_MANY = 50_000
"""So many numbers take longer to sort than a thread to start."""


def order_of(keys: Ints, times: Ints, *then: Ints) -> Ints:
    """Orders rows by key and time, equal ones by the columns that follow and then their places.

    Args:
      keys: int64[n].
      times: int64[n].
      then: int64[n] each, the more important first.

    Returns:
      int64[n], indices of rows.
    """
    packing = _Packing.of(keys, times)
    if packing is None:
        return np.lexsort((*then[::-1], times, keys))
    packed = packing.pack(keys, times)
    order = np.argsort(packed)
    _settle(order, packed[order], then)
    return order


def reorder(keys: Ints, times: Ints) -> Ints | None:
    """As ``order_of``, for rows that are mostly in order of time, as those of files are.

    Args:
      keys: int64[n], 0 or above.
      times: int64[n].

    Returns:
      int64[n], indices of rows; None if they are in order.
    """
    if _in_order(keys, times):
        return None
    if keys.max() >= 1 << 16:
        return order_of(keys, times)
    # A radix sort brings keys together; what is left is nearly in order, which a merge sort uses.
    by_key = np.argsort(keys.astype(np.uint16), kind="stable")
    grouped = keys[by_key], times[by_key]
    if _in_order(*grouped):
        return by_key
    packing = _Packing.of(*grouped)
    if packing is None:
        return np.lexsort((times, keys))
    return by_key[np.argsort(packing.pack(*grouped), kind="stable")]


def _in_order(keys: Ints, times: Ints) -> bool:
    same = keys[1:] == keys[:-1]
    return bool(((keys[1:] > keys[:-1]) | same & (times[1:] >= times[:-1])).all())


def _settle(order: Ints, ordered: Ints, then: Sequence[Ints] = ()) -> None:
    """Orders rows of equal numbers, which a quick sort leaves anyhow, by columns and place."""
    same = ordered[1:] == ordered[:-1]
    if same.any():
        some = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
        rows = order[some]
        keys = (rows, *(column[rows] for column in then[::-1]), ordered[some])
        order[some] = rows[np.lexsort(keys)]


def order_and_places(keys: Ints, times: Ints, wanted: Ints, instants: Ints) -> tuple[Ints, Ints]:
    """Orders rows, as ``order_of`` does, and finds instants among the ordered, as ``places`` does.

    Both sides are sorted at the same time, on two cores.

    Args:
      keys: int64[n].
      times: int64[n].
      wanted: int64[m], keys.
      instants: int64[m].

    Returns:
      int64[n], indices of rows; int64[m], places in that order.
    """
    packing = _Packing.of(keys, times, wanted)
    if packing is None:
        order = order_of(keys, times)
        return order, places(keys[order], times[order], wanted, instants)[0]
    packed, asked = packing.pack(keys, times), packing.pack(wanted, instants)
    sort = map_ahead if min(len(packed), len(asked)) > _MANY else map
    order, turn = sort(np.argsort, (packed, asked))
    ordered = packed[order]
    _settle(order, ordered)
    return order, _find(ordered, asked, turn)


def places(keys: Ints, times: Ints, wanted: Ints, *instants: Ints) -> list[Ints]:
    """Finds where instants lie in the times of their keys.

    Args:
      keys: int64[n], ascending.
      times: int64[n], ascending within a key.
      wanted: int64[m], keys.
      instants: int64[m], any number of times.

    Returns:
      For each of ``instants`` int64[m]: how many rows come before the first one of the key, or of
      a higher one, whose time is above the instant.
    """
    packing = _Packing.of(keys, times, wanted)
    if packing is None:
        begin, end = stretches(keys, wanted)
        return [first_after(times, one, begin, end) for one in instants]
    packed = packing.pack(keys, times)
    found = []
    for one in instants:
        asked = packing.pack(wanted, one)
        ascend = (asked[1:] >= asked[:-1]).all()
        found.append(_find(packed, asked, None if ascend else np.argsort(asked)))
    return found


def _find(ordered: Ints, asked: Ints, turn: Ints | None) -> Ints:
    """Places of numbers, looked up in their order: neighbours are then found in the cache."""
    if turn is None:
        return np.searchsorted(ordered, asked, side="right")
    found = np.empty(len(asked), np.int64)
    found[turn] = np.searchsorted(ordered, asked[turn], side="right")
    return found


def bounds_of(keys: Ints) -> Ints:
    """Where each distinct key begins, and the end: int64[k + 1] of int64[n], ascending."""
    return np.append(np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1)), len(keys))


def distinct_of(numbers: Ints, span: int) -> tuple[Ints, Ints]:
    """Distinct numbers, ascending, and each number's place among them: int64[k], int64[n].

    Args:
      numbers: int64[n].
      span: numbers that lie less than this apart are marked instead of sorted.
    """
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if high - low >= span:
        return np.unique(numbers, return_inverse=True)
    there = np.zeros(high - low + 1, bool)
    there[numbers - low] = True
    return np.flatnonzero(there) + low, (np.cumsum(there) - 1)[numbers - low]


def stretches(keys: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """Finds the stretch of each wanted key.

    Args:
      keys: int64[n], ascending.
      wanted: int64[m].

    Returns:
      ``begin, end``, int64[m]: half-open; empty where ``keys`` lacks the key.
    """
    # Among the distinct keys, which are few and stay in the cache, not among all.
    bounds = bounds_of(keys)
    distinct = keys[bounds[:-1]]
    place = np.searchsorted(distinct, wanted)
    begin = bounds[place]
    there = place < len(distinct)
    there[there] = distinct[place[there]] == wanted[there]
    return begin, np.where(there, bounds[np.minimum(place + 1, len(distinct))], begin)


def first_after(times: Ints, instants: Ints, begin: Ints, end: Ints) -> Ints:
    """Bisects many stretches of ``times`` at once.

    Args:
      times: int64[n], ascending within each stretch.
      instants: int64[m].
      begin: int64[m], where each stretch begins.
      end: int64[m], where it ends, excluded.

    Returns:
      int64[m]: the first index of each stretch whose time is above the instant, or its end.
    """
    lo, hi = begin.copy(), end.copy()
    longest = int(np.max(hi - lo, initial=0))
    for _ in range(longest.bit_length()):
        middle = (lo + hi) >> 1
        open_ = lo < hi
        # A closed stretch may stand at the end of the array: its middle is not read.
        right = open_ & (times[np.minimum(middle, len(times) - 1)] <= instants)
        lo = np.where(right, middle + 1, lo)
        hi = np.where(open_ & ~right, middle, hi)
    return lo


@dataclasses.dataclass(frozen=True)
class _Packing:
    """A key and a time as one number in the same order: the key's bits above the time's.

    Attributes:
      first: the earliest time; what is earlier counts as one below it.
      last: the latest time; what is later counts as that.
      bits: what times take.
    """

    first: int
    last: int
    bits: int

    @classmethod
    def of(cls, keys: Ints, times: Ints, wanted: Ints | None = None) -> "_Packing | None":
        """How to pack rows, and other keys; None if 63 bits don't hold them or keys are below 0."""
        if not len(keys):
            return None
        first, last = int(times.min()), int(times.max())
        bits = (last - first + 1).bit_length()
        highest = (1 << max(62 - bits, 0)) - 1
        fits = bits <= 62 and first > np.iinfo(np.int64).min
        for some in (keys,) if wanted is None else (keys, wanted):
            fits = fits and some.min(initial=0) >= 0 and some.max(initial=0) <= highest
        return cls(first, last, bits) if fits else None

    def pack(self, keys: Ints, times: Ints) -> Ints:
        """The numbers, int64[n]."""
        below = self.first - 1
        return (keys << self.bits) + (np.clip(times, below, self.last) - below)
