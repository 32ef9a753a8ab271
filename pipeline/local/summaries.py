"""What came of a stage, in a line: read from the artifacts it made, cached or not."""

import json
import pathlib
from collections.abc import Callable

from components.anomaly_gate.statistics_files import read_anomalies, read_statistics
from components.curated_schema.schema_file import read_schema
from components.ingest.artifacts import QualityReport
from components.model_evaluator.report import read_evaluation
from pipeline.decision import compare
from pipeline.history import Output


def of(outputs: list[Output]) -> str:
    """The line for a stage with these outputs; empty where there is nothing to tell."""
    for output in outputs:
        reader = _READERS.get(output.type)
        if reader is not None:
            text = reader(output.uri)
            if text:
                return text
    return ""


def _report(uri: pathlib.Path) -> str:
    """Components of ours put their line into their report."""
    path = uri / "report.json"
    if not path.exists():
        return ""
    summary = json.loads(path.read_text(encoding="utf-8")).get("summary", "")
    return str(summary)


def _statistics(uri: pathlib.Path) -> str:
    datasets = {split: found.datasets[0] for split, found in read_statistics(uri).items()}
    if not datasets:
        return ""
    told = [f"{s} {datasets[s].num_examples:,} examples" for s in sorted(datasets, reverse=True)]
    features = len(datasets[max(datasets)].features)
    return f"{', '.join(told)}, {features} features"


def _anomalies(uri: pathlib.Path) -> str:
    count = sum(len(found.anomaly_info) for found in read_anomalies(uri).values())
    return f"{count} anomalies" if count else "no anomalies"


def _schema(uri: pathlib.Path) -> str:
    return f"{len(read_schema(uri / 'schema.pbtxt').feature)} features"


def _evaluation(uri: pathlib.Path) -> str:
    evaluation = read_evaluation(str(uri))
    verdict = "blessed" if evaluation["blessed"] else "not blessed"
    return f"{verdict}: {compare(evaluation)}"


_READERS: dict[str, Callable[[pathlib.Path], str]] = {
    QualityReport.TYPE_NAME: _report,
    "InfraBlessing": _report,
    "TunerResults": _report,
    "ExampleStatistics": _statistics,
    "ExampleAnomalies": _anomalies,
    "ModelEvaluation": _evaluation,
    "Schema": _schema,
}
