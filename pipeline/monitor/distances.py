"""TFDV's statistics of tables in memory, and TFDV's distances between two of them."""

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2

from components.anomaly_gate.statistics_files import Statistics, common_stats, feature_name
from components.ingest.examples import decode, encode

Kind = Literal["numeric", "categorical"]
MEASURES: Mapping[Kind, str] = {"numeric": "Jensen-Shannon", "categorical": "L-infinity"}


def as_examples(table: pa.Table) -> pa.RecordBatch:
    """A table of plain columns as TFDV takes it: lists, as they come out of tf.Examples."""
    (batch,) = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    return decode(encode(batch)) if batch.num_rows else batch


def statistics_of(batch: pa.RecordBatch) -> Statistics:
    """TFDV's statistics of rows, as StatisticsGen makes them of a split."""
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


def kinds_of(statistics: Statistics) -> dict[str, Kind]:
    """By feature what its distance is measured as: numbers by their histogram, text by value."""
    return {
        feature_name(feature): "categorical" if feature.HasField("string_stats") else "numeric"
        for feature in statistics.datasets[0].features
        if feature.WhichOneof("stats") in ("num_stats", "string_stats")
    }


def distances(new: Statistics, old: Statistics, kinds: Mapping[str, Kind]) -> dict[str, float]:
    """How far features are apart, 0 to 1.

    For numbers the Jensen-Shannon divergence of TFDV's quantiles, base 2; for text the largest
    difference of a value's share.

    Args:
      new: statistics of the rows in question.
      old: of what they are compared with.
      kinds: the features to compare.

    Returns:
      By feature; those that have no value on one of the sides are left out.
    """
    schema = schema_pb2.Schema()
    for name, kind in kinds.items():
        # Of which type the values are doesn't matter, but TFDV compares none without one.
        known = schema_pb2.FLOAT if kind == "numeric" else schema_pb2.BYTES
        feature = schema.feature.add(name=name, type=known)
        if kind == "numeric":
            divergence = feature.drift_comparator.jensen_shannon_divergence
            divergence.threshold = 0.0
            divergence.source.type = schema_pb2.HistogramSelection.QUANTILES
        else:
            feature.drift_comparator.infinity_norm.threshold = 0.0
    found = tfdv.validate_statistics(new, schema, previous_statistics=old)
    valued = values_of(new).keys() & values_of(old).keys()
    return {
        name: measurement.value
        for info in found.drift_skew_info
        for measurement in info.drift_measurements
        if (name := ".".join(info.path.step)) in valued
    }


def values_of(statistics: Statistics) -> dict[str, float]:
    """By feature the share of rows that have a value; features without any are left out."""
    dataset = statistics.datasets[0]
    rows = max(1.0, float(dataset.num_examples))
    return {
        feature_name(feature): common_stats(feature).num_non_missing / rows
        for feature in dataset.features
        if common_stats(feature).num_non_missing
    }
