"""Reading what StatisticsGen and ExampleValidator write; needs neither TFX nor TensorFlow."""

import pathlib
from typing import TypeAlias, TypeVar

from google.protobuf import message
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList
_Proto = TypeVar("_Proto", bound=message.Message)


def read_statistics(folder: pathlib.Path) -> dict[str, Statistics]:
    """Statistics by split.

    Args:
      folder: an ExampleStatistics artifact's; it may be empty or not there.

    Raises:
      ValueError: if a file isn't what its name says.
    """
    return {
        split: _parse(Statistics(), folder / f"Split-{split}" / "FeatureStats.pb")
        for split in _splits(folder, "FeatureStats.pb")
    }


def read_anomalies(folder: pathlib.Path) -> dict[str, anomalies_pb2.Anomalies]:
    """ExampleValidator's findings by split.

    Args:
      folder: an ExampleAnomalies artifact's.

    Raises:
      ValueError: if a file isn't what its name says.
    """
    return {
        split: _parse(anomalies_pb2.Anomalies(), folder / f"Split-{split}" / "SchemaDiff.pb")
        for split in _splits(folder, "SchemaDiff.pb")
    }


def _splits(folder: pathlib.Path, name: str) -> list[str]:
    found = [path.parent.name.removeprefix("Split-") for path in folder.glob(f"Split-*/{name}")]
    # Train comes first, as people think of it.
    return sorted(found, key=lambda split: (split != "train", split))


def _parse(proto: _Proto, path: pathlib.Path) -> _Proto:
    try:
        proto.ParseFromString(path.read_bytes())
    except message.DecodeError:
        raise ValueError(f"{path}: no {type(proto).__name__} can be read from it") from None
    return proto


def common_stats(
    feature: statistics_pb2.FeatureNameStatistics,
) -> statistics_pb2.CommonStatistics:
    """What is counted of any feature's values, whatever their type."""
    kind = feature.WhichOneof("stats")
    return getattr(feature, kind).common_stats


def feature_name(feature: statistics_pb2.FeatureNameStatistics) -> str:
    """A feature's name; statistics hold it as a path or as a plain name."""
    return feature.name or ".".join(feature.path.step)
