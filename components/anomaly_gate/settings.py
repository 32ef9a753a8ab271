"""Settings of the gate: what stands under ``validation:`` in settings.yaml."""

import difflib
import fnmatch
from typing import Annotated, Literal

import pydantic

from components.ingest.fields import FROZEN, Text


def _names_a_reason(entry: str) -> str:
    name, colon, reason = entry.rpartition(":")
    if colon:
        # Only here, since the protobuf import is slower than the rest of the settings.
        from tensorflow_metadata.proto.v0 import anomalies_pb2

        reasons = anomalies_pb2.AnomalyInfo.Type.keys()
        if not name or reason not in reasons:
            near = difflib.get_close_matches(reason.upper(), reasons, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                "expected a feature, or feature:REASON with a reason of TFDV such as "
                f"SCHEMA_NEW_COLUMN{hint}"
            )
    return entry


Ignored = Annotated[Text, pydantic.AfterValidator(_names_a_reason)]


class Validation(pydantic.BaseModel):
    """What stops a run. ``ignore`` holds features, or ``feature:REASON`` with TFDV's reason.

    Features may be globs. ``drift`` and ``skew`` say whether values that moved away from the
    champion's training data, or from train to eval, stop the run or are only reported.
    """

    model_config = FROZEN

    ignore: list[Ignored] = []
    drift: Literal["stop", "report"] = "stop"
    skew: Literal["stop", "report"] = "stop"

    def ignores(self, feature: str, reason: str) -> str | None:
        """The entry that says to ignore a feature's anomaly, or None."""
        for entry in self.ignore:
            name, colon, only = entry.rpartition(":")
            if not colon:
                name, only = entry, reason
            if only == reason and fnmatch.fnmatchcase(feature, name):
                return entry
        return None


class GateSettings(Validation):
    """What the component is given: the validation settings and the label's name."""

    label: str = ""
