"""What a release keeps of its training: enough to say what has moved without a pipeline run."""

import dataclasses
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq
from tensorflow_metadata.proto.v0 import schema_pb2

from components.anomaly_gate.statistics_files import Statistics, read_statistics
from components.curated_schema.schema_file import columns, read_schema
from pipeline.settings import Settings
from pipeline.settings.features import expand
from serving.releases import PREDICTIONS, SCHEMA, STATISTICS, ReleaseError, Releases


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What is compared with.

    Attributes:
      version: the release.
      statistics: by split, of the examples that it was trained and evaluated on.
      schema: of these.
      types: by feature of the model ``int``, ``float`` or ``bytes``.
      answers: what it answered for the evaluation split; None in releases that did not keep it.
      metrics: what Evaluator measured.
    """

    version: int
    statistics: Mapping[str, Statistics]
    schema: schema_pb2.Schema
    types: Mapping[str, str]
    answers: pa.Table | None
    metrics: Mapping[str, float | None]


def read_baseline(settings: Settings) -> Baseline:
    """Reads what the stable version keeps.

    Raises:
      ReleaseError: if nothing serves, or the version keeps no statistics.
      SchemaError: if its schema cannot be read.
    """
    directory = settings.serving.model_directory
    version = Releases(directory).stable()
    if version is None:
        raise ReleaseError(f"no version in {directory} serves yet: python -m pipeline run")
    statistics = read_statistics(version.path / STATISTICS)
    if "train" not in statistics:
        raise ReleaseError(
            f"{version.path} keeps no statistics of its training: it was not pushed by this "
            "pipeline. Promote one that was"
        )
    schema = read_schema(version.path / SCHEMA)
    known = columns(schema)
    used, errors = expand(settings.features, known, settings.reserved_columns)
    if errors:
        raise ReleaseError(f"version {version.number} was trained with other settings: {errors[0]}")
    answers = version.path / PREDICTIONS
    return Baseline(
        version.number,
        statistics,
        schema,
        {name: known[name].type for name in used},
        pq.read_table(answers) if answers.is_file() else None,
        dict(version.release.get("metrics", {})),
    )
