"""What came of a stage, in a line: read from the artifacts it made, cached or not."""

import json
import pathlib
from collections.abc import Callable

from components.model_evaluator.report import read_evaluation
from pipeline.history import Output
from pipeline.local.decision import compare


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
    from tensorflow_metadata.proto.v0 import statistics_pb2

    told = []
    for split in sorted(uri.glob("Split-*")):
        statistics = statistics_pb2.DatasetFeatureStatisticsList()
        statistics.ParseFromString((split / "FeatureStats.pb").read_bytes())
        (dataset,) = statistics.datasets
        told.append(f"{split.name.removeprefix('Split-')} {dataset.num_examples:,} examples")
        features = len(dataset.features)
    return f"{', '.join(reversed(told))}, {features} features" if told else ""


def _anomalies(uri: pathlib.Path) -> str:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    count = 0
    for path in uri.glob("Split-*/SchemaDiff.pb"):
        anomalies = anomalies_pb2.Anomalies()
        anomalies.ParseFromString(path.read_bytes())
        count += len(anomalies.anomaly_info)
    return f"{count} anomalies" if count else "no anomalies"


def _schema(uri: pathlib.Path) -> str:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = schema_pb2.Schema()
    text_format.Parse((uri / "schema.pbtxt").read_text(encoding="utf-8"), schema)
    return f"{len(schema.feature)} features"


def _evaluation(uri: pathlib.Path) -> str:
    evaluation = read_evaluation(str(uri))
    verdict = "blessed" if evaluation["blessed"] else "not blessed"
    return f"{verdict}: {compare(evaluation)}"


_READERS: dict[str, Callable[[pathlib.Path], str]] = {
    "QualityReport": _report,
    "ExampleStatistics": _statistics,
    "ExampleAnomalies": _anomalies,
    "ModelEvaluation": _evaluation,
    "Schema": _schema,
}
