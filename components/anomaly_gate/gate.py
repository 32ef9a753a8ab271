"""The gate's work: gather what is wrong, write it down, and stop the run if need be."""

import collections
import copy
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.anomaly_gate.findings import Finding, Kind, badness, findings_in
from components.anomaly_gate.settings import GateSettings
from components.anomaly_gate.statistics_files import Statistics, feature_name
from components.curated_schema.schema_file import SERVING, TRAINING

SHOWN = 10


class AnomalyError(Exception):
    """Data that breaks the schema, or that moved too far from what a model was trained on.

    Attributes:
      findings: everything that stops the run, the worst first.
      report: the file that holds the full list.
    """

    def __init__(self, findings: Sequence[Finding], report: str) -> None:
        self.findings = list(findings)
        self.report = report
        super().__init__(_message(self.findings, report))

    def __reduce__(self) -> tuple[type, tuple[list[Finding], str]]:
        return type(self), (self.findings, self.report)


def _message(findings: Sequence[Finding], report: str) -> str:
    grouped: dict[tuple[str, str, str], list[Finding]] = collections.defaultdict(list)
    for finding in findings:
        grouped[finding.feature, finding.reason, finding.kind].append(finding)
    count = len(grouped)
    lines = [f"the data has {count} {'anomaly' if count == 1 else 'anomalies'}; the run stops here"]
    for (feature, reason, kind), group in list(grouped.items())[:SHOWN]:
        first = group[0]
        where = _WHERE[kind].format(splits=" and ".join(f.split for f in group))
        lines += [
            f"  {feature} ({where}): {first.seen.rstrip('.')} [{reason}]",
            f"    expected: {first.rule}",
            f"    mend: {first.mend}",
        ]
    if count > SHOWN:
        lines.append(f"  … and {count - SHOWN} more")
    lines.append(f"To let one pass, list it under validation.ignore. The full list: {report}")
    return "\n".join(lines)


_WHERE: dict[str, str] = {
    "schema": "{splits}",
    "serving": "{splits}, as serving sees it",
    "drift": "{splits}, against the champion's training data",
    "skew": "{splits} against eval",
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """All that the gate found.

    Attributes:
      findings: from the worst to the mildest, those that pass among them.
      moves: by kind (drift, skew), how far each feature with a comparator moved.
      compared: whether the champion's statistics were there.
      examples: rows by split.
    """

    findings: list[Finding]
    moves: dict[str, list[dict[str, Any]]]
    compared: bool
    examples: dict[str, int]

    @property
    def stopping(self) -> list[Finding]:
        """The findings that stop the run."""
        return [finding for finding in self.findings if finding.passes is None]

    def report(self) -> dict[str, Any]:
        """The verdict for JSON."""
        passing = len(self.findings) - len(self.stopping)
        counted = collections.Counter(finding.reason for finding in self.findings)
        told = f"{len(self.stopping)} anomalies" if self.stopping else "no anomaly"
        if passing:
            told += f", {passing} let pass"
        if not self.compared:
            told += "; no champion to compare with"
        return {
            "summary": told,
            "stops": bool(self.stopping),
            "examples": self.examples,
            "compared_with_champion": self.compared,
            "reasons": dict(counted.most_common()),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "drift": self.moves["drift"],
            "skew": self.moves["skew"],
        }


def judge(
    statistics: Mapping[str, Statistics],
    schema: schema_pb2.Schema,
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    baseline: Mapping[str, Statistics],
    settings: GateSettings,
) -> Verdict:
    """Gathers what is wrong with the data.

    Args:
      statistics: by split.
      schema: the curated schema; its comparators set drift's and skew's thresholds.
      anomalies: by split, what ExampleValidator found.
      baseline: by split, the statistics of what the champion was trained on; may be empty.
      settings: the label, and what passes.

    Raises:
      ValueError: if there are no statistics.
    """
    if not statistics:
        raise ValueError("AnomalyGate was given statistics without a split")
    import tensorflow_data_validation as tfdv

    serving_only = {f.name for f in schema.feature if TRAINING in f.not_in_environment}
    found: list[Finding] = []
    for split, told in anomalies.items():
        found += [
            finding
            for finding in findings_in(told, split, "schema", settings)
            if finding.feature not in serving_only
        ]
    known = {(finding.feature, finding.reason, finding.split) for finding in found}
    for split, numbers in statistics.items():
        served, needed = serving_view(numbers, schema, settings.label)
        told = tfdv.validate_statistics(served, needed, environment=SERVING)
        found += [
            finding
            for finding in findings_in(told, split, "serving", settings)
            if (finding.feature, finding.reason, finding.split) not in known
        ]
    moves: dict[str, list[dict[str, Any]]] = {"drift": [], "skew": []}
    others: dict[Kind, Statistics | None] = {
        "drift": baseline.get("train"),
        "skew": statistics.get("eval"),
    }
    for kind, other in others.items():
        if other is None or "train" not in statistics:
            continue
        against = "previous_statistics" if kind == "drift" else "serving_statistics"
        told = tfdv.validate_statistics(statistics["train"], schema, **{against: other})
        found += findings_in(told, "train", kind, settings)
        moves[kind] = _moves(told, kind)
    return Verdict(
        findings=sorted(found, key=badness),
        moves=moves,
        compared="train" in baseline,
        examples={split: int(s.datasets[0].num_examples) for split, s in statistics.items()},
    )


def serving_view(
    statistics: Statistics, schema: schema_pb2.Schema, label: str
) -> tuple[Statistics, schema_pb2.Schema]:
    """Statistics without what serving doesn't send, and a schema that knows the environment.

    Args:
      statistics: of one split.
      schema: the curated schema.
      label: the label's name; serving never sends it, whatever the schema says.
    """
    absent = {f.name for f in schema.feature if SERVING in f.not_in_environment} | {label}
    served = statistics_pb2.DatasetFeatureStatisticsList()
    served.CopyFrom(statistics)
    for dataset in served.datasets:
        kept = [f for f in dataset.features if feature_name(f) not in absent]
        del dataset.features[:]
        dataset.features.extend(kept)
    needed = copy.deepcopy(schema)
    # TFDV takes a feature for absent in any environment that the schema doesn't name.
    if SERVING not in needed.default_environment:
        needed.default_environment.append(SERVING)
    return served, needed


def _moves(anomalies: anomalies_pb2.Anomalies, kind: str) -> list[dict[str, Any]]:
    measured = [
        {
            "feature": ".".join(info.path.step),
            "measure": anomalies_pb2.DriftSkewInfo.Measurement.Type.Name(measurement.type),
            "value": measurement.value,
            "threshold": measurement.threshold,
        }
        for info in anomalies.drift_skew_info
        for measurement in getattr(info, f"{kind}_measurements")
    ]
    return sorted(measured, key=lambda m: m["threshold"] - m["value"])


def write_report(verdict: Verdict, folder: pathlib.Path) -> None:
    """Writes ``report.json``; raises if the verdict stops the run.

    TFX removes the outputs of a component that raises, so the full list of a run that stops is
    written beside them too: ``<component>/refused/<execution>.json``.

    Args:
      verdict: what was found.
      folder: the report artifact's.

    Raises:
      AnomalyError: if a finding stops the run.
    """
    text = json.dumps(verdict.report(), indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(text, encoding="utf-8")
    if not verdict.stopping:
        return
    refused = folder.parent.parent / "refused" / f"{folder.name}.json"
    refused.parent.mkdir(parents=True, exist_ok=True)
    partial = refused.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(refused)
    raise AnomalyError(verdict.stopping, os.path.relpath(refused))
