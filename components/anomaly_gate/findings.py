"""What is wrong with the data: anomalies in words, with the rule and the mend."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Literal

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.anomaly_gate.settings import Validation

Kind = Literal["schema", "serving", "drift", "skew"]

WHOLE = "(all rows)"
"""Stands for a feature where an anomaly is the data set's."""

_ACCEPT = "`python -m pipeline schema infer`, `diff`, `accept`"

# The first that matches a reason's name counts; they stand from the worst to the mildest.
_RULES = (
    (
        r"NO_DATA_IN_SPAN|DATASET_LOW|COMPARATOR_LOW_NUM|STATS_NOT_AVAILABLE",
        "there are enough examples",
        "look why the sources bring so few; dataset_constraints in the schema sets the number",
    ),
    (
        r"SCHEMA_MISSING_COLUMN",
        "a column of the schema stands in the data",
        f"bring it back into its source's query or files; if it is gone for good: {_ACCEPT}",
    ),
    (
        r"FEATURE_TYPE_(NOT_PRESENT|NO_VALUES|LOW_FRACTION_PRESENT|LOW_NUMBER_PRESENT)",
        "a value is present as often as the schema says",
        "look why its source brings fewer; presence in the schema sets the share",
    ),
    (
        r".*NOT_(INT|FLOAT|STRING|NOT_STRING|INT_STRING)|.*UNKNOWN_TYPE.*|.*(INT|STRING)_EXPECTED"
        r"|.*_NOW_.*|UNEXPECTED_DATA_TYPE|FLOAT_TYPE_NON_STRING|.*INVALID_UTF8",
        "values have the schema's type",
        f"cast it in the query or set the source's types; if it changed for good: {_ACCEPT}",
    ),
    (
        r"FLOAT_TYPE_HAS_(NAN|INF)",
        "values are finite; a missing value is absent, not NaN",
        "look for a division by zero, or for NaN as text, in its source",
    ),
    (
        r"ENUM_TYPE.*|BOOL_TYPE.*",
        "values come from the schema's domain",
        f"mend the source if they are wrong; if they are new: {_ACCEPT}",
    ),
    (
        r".*_(BIG|SMALL)_(INT|FLOAT)",
        "values lie in the schema's range",
        f"mend the source or its unit if they are wrong; if the range was too narrow: {_ACCEPT}",
    ),
    (
        r"SCHEMA_NEW_COLUMN",
        "every column stands in the schema",
        f"take it up: {_ACCEPT}; or leave it out of the source's query",
    ),
    (
        r"COMPARATOR_(CONTROL|TREATMENT)_DATA_MISSING",
        "both sides of a comparison have values",
        "none is needed: a new feature has nothing to be compared with",
    ),
    (
        r"COMPARATOR_.*",
        "values are spread as they were in what they are compared with",
        "look whether the source or the world changed; a later threshold in the schema's "
        "drift_comparator or skew_comparator, or validation.drift: report, lets it pass",
    ),
    (
        r".*",
        "the data fits the schema",
        f"compare the two: {_ACCEPT}",
    ),
)
_NOTHING_TO_COMPARE = re.compile(r"COMPARATOR_(CONTROL|TREATMENT)_DATA_MISSING")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One anomaly of one feature in one split.

    Attributes:
      feature: its name, or `WHOLE`.
      split: where it was seen.
      reason: TFDV's name for it.
      kind: what was held against what: data against the schema, data without the label against
        what serving needs, train against the champion's train, train against eval.
      rule: what was expected.
      seen: what was seen.
      mend: what the reader can do.
      passes: why it doesn't stop the run, or None if it does.
    """

    feature: str
    split: str
    reason: str
    kind: Kind
    rule: str
    seen: str
    mend: str
    passes: str | None = None


def findings_in(
    anomalies: anomalies_pb2.Anomalies, split: str, kind: Kind, settings: Validation
) -> Iterator[Finding]:
    """The findings in TFDV's anomalies, one for each reason.

    Args:
      anomalies: TFDV's.
      split: whose statistics were validated.
      kind: what was validated; drift and skew yield only what comparators found.
      settings: what is to be ignored or only reported.
    """
    if anomalies.data_missing:
        yield _finding(WHOLE, split, "NO_DATA_IN_SPAN", kind, "no example", settings)
    infos = [(".".join(i.path.step) or name, i) for name, i in anomalies.anomaly_info.items()]
    if anomalies.HasField("dataset_anomaly_info"):
        infos.append((WHOLE, anomalies.dataset_anomaly_info))
    for name, info in infos:
        for reason in info.reason:
            type_name = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
            if kind in ("drift", "skew") and not type_name.startswith("COMPARATOR_"):
                continue
            yield _finding(name, split, type_name, kind, reason.description.strip(), settings)


def _finding(
    feature: str, split: str, reason: str, kind: Kind, seen: str, settings: Validation
) -> Finding:
    rule, mend = next((r, m) for pattern, r, m in _RULES if re.fullmatch(pattern, reason))
    entry = settings.ignores(feature, reason)
    passes = None
    if entry is not None:
        passes = f"ignored by validation.ignore: {entry}"
    elif kind in ("drift", "skew") and getattr(settings, kind) == "report":
        passes = f"validation.{kind} is 'report'"
    elif kind in ("drift", "skew") and _NOTHING_TO_COMPARE.fullmatch(reason):
        passes = "nothing to compare with"
    return Finding(feature, split, reason, kind, rule, seen, mend, passes)


def badness(finding: Finding) -> tuple[int, str, str, bool, str]:
    """Sorts findings from the worst to the mildest, then by name."""
    rank = next(i for i, rule in enumerate(_RULES) if re.fullmatch(rule[0], finding.reason))
    return (rank, finding.feature, finding.reason, finding.split != "train", finding.split)
