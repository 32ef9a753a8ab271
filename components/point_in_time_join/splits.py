"""Which observations train, which evaluate, and which belong to neither and why."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingest.entities import stable_hash
from components.ingest.split import DataWindow, EntitySplit, TimeSplit
from components.ingest.windows import Ints

SPLITS = ("train", "eval")


def assign_splits(
    time: Ints, entity: pa.Array, split: TimeSplit | EntitySplit, window: DataWindow
) -> tuple[npt.NDArray[np.int8], dict[str, int]]:
    """Sends each observation to one split or to none.

    By time, an observation belongs to the stretch that it lies in. By entity, all observations of
    an entity go the same way: its salted hash, read as a number in [0, 1), is compared with the
    share of entities held out.

    Args:
      time: int64[n], microseconds.
      entity: n entities as ``entity_values`` gives them.
      split: how examples part.
      window: the stretches of time.

    Returns:
      int8[n], an index of SPLITS or -1; and how many have -1, by reason.
    """
    side = np.full(len(time), -1, np.int8)
    if isinstance(split, EntitySplit):
        inside = (time >= window.begin) & (time < window.end)
        held_out = stable_hash(entity, f"split:{split.salt}") < np.uint64(split.eval * 2**64)
        side[inside] = held_out[inside]
    else:
        side[(time >= window.train_begin) & (time < window.train_end)] = 0
        side[(time >= window.eval_begin) & (time < window.eval_end)] = 1
    outside = side < 0
    reasons = {
        "before the window": time < window.begin,
        "embargo": (time >= window.train_end) & (time < window.eval_begin),
        "label not settled": (time >= window.end) & (time < window.as_of),
        "not before as-of": (time >= window.end) & (time >= window.as_of),
    }
    counts = {reason: int((outside & where).sum()) for reason, where in reasons.items()}
    return side, {reason: count for reason, count in counts.items() if count}
