"""The release record: which versions of a model there are, which serve, and how that changed.

::

    <folder>/                      one served model, as TensorFlow Serving watches it
      7/                           a version: a SavedModel
        assets.extra/release.json  where it came from
        assets.extra/statistics/   statistics of the examples that it was trained on
        assets.extra/schema.pbtxt  and their schema
        assets.extra/predictions.parquet  what it answered for the evaluation split
      releases.json                each version's state, and who changed that when and why
      .lock  .push  .staging-*  .pruned-*   never versions: TensorFlow Serving takes only numbers

A version's folder is written under another name and renamed, so that it is there whole or not at
all; only then ``releases.json`` is replaced. A push that was killed in between is brought to its
end by the next change. Numbers rise and are never used again.
"""

from serving.releases.record import ReleaseError, Status
from serving.releases.releases import Releases, fingerprint
from serving.releases.states import (
    AVAILABLE,
    CANARY,
    FOUND,
    QUARANTINED,
    RETIRED,
    STABLE,
    STAGED,
)
from serving.releases.store import Hook
from serving.releases.versions import (
    EXTRA,
    NONE,
    PREDICTIONS,
    RELEASE,
    SCHEMA,
    STATISTICS,
    Push,
    Version,
    prunable,
)

__all__ = [
    "AVAILABLE",
    "CANARY",
    "EXTRA",
    "FOUND",
    "NONE",
    "PREDICTIONS",
    "QUARANTINED",
    "RELEASE",
    "RETIRED",
    "SCHEMA",
    "STABLE",
    "STAGED",
    "STATISTICS",
    "Hook",
    "Push",
    "ReleaseError",
    "Releases",
    "Status",
    "Version",
    "fingerprint",
    "prunable",
]
