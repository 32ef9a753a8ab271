"""Which of the training examples trials learn from, and which they are measured on.

Never the eval split: what was chosen on it would look better there than it is. And not any
training example: those of one machine an hour apart are nearly the same, so that a model which
learns by heart would win. The parts lie to each other as train lies to eval.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingest.entities import stable_hash

FIT, VALIDATION, NEITHER = 0, 1, -1

Times = npt.NDArray[np.int64]


class TuningError(Exception):
    """A search that can't be made, or that found nothing."""


def hold_out(
    times: Times,
    entities: pa.Array,
    split: Literal["time", "entity"],
    share: float,
    horizon: int,
) -> npt.NDArray[np.int8]:
    """Parts the train split.

    Args:
      times: int64[n], when each was observed, microseconds.
      entities: n entities, int64 or binary.
      split: ``time``: the latest ``share`` validates, and a horizon before it is left out, whose
        labels look into it. ``entity``: about that share of the entities validates.
      share: of the examples, above 0 and below 1.
      horizon: how far labels look ahead, microseconds.

    Returns:
      int8[n], FIT, VALIDATION or NEITHER.

    Raises:
      TuningError: if a part is empty.
    """
    part = np.full(len(times), FIT, np.int8)
    if split == "entity":
        part[stable_hash(entities, "tuning") < np.uint64(share * 2**64)] = VALIDATION
    elif len(times):
        begin = np.sort(times)[int(len(times) * (1 - share))]
        part[times >= begin - horizon] = NEITHER
        part[times >= begin] = VALIDATION
    for name, code, mend in (("learn from", FIT, "smaller"), ("measure on", VALIDATION, "larger")):
        if not (part == code).any():
            raise TuningError(
                f"tuning.validation {share:g} leaves trials no examples to {name}, of "
                f"{len(times)} in the train split: take a {mend} share or a longer split.train"
            )
    return part


def thin(part: npt.NDArray[np.int8], checksums: npt.NDArray[np.uint32], most: int) -> None:
    """Leaves about ``most`` examples in the parts, chosen by their content.

    Args:
      part: int8[n], as ``hold_out`` gives it; changed in place.
      checksums: uint32[n], of each example's bytes.
      most: how many examples may stay.
    """
    used = int((part != NEITHER).sum())
    if used > most:
        part[checksums >= most / used * 2**32] = NEITHER
