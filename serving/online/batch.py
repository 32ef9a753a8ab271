"""Batch scoring: predictions for all of the spine's rows in a stretch of time."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from components.ingest.durations import MICROSECONDS
from serving.online.client import Prediction
from serving.online.features import FeatureReader
from serving.online.scorers import Score
from serving.online.sinks import Sink

SLICE = 7 * MICROSECONDS["d"]
"""How much time is read, joined and held at once; with it memory is bounded."""

BATCH_ROWS = 512
"""Rows to a request."""

Progress = Callable[[float, int], None]
"""Called with the share of the stretch that is done, 0 to 1, and the rows so far."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a batch run did.

    Attributes:
      rows: how many predictions were written.
      versions: by version how many of them it gave.
    """

    rows: int
    versions: dict[int, int]


def score_range(
    reader: FeatureReader,
    score: Score,
    sink: Sink,
    begin: int,
    end: int,
    *,
    model: str,
    slice_size: int = SLICE,
    batch_rows: int = BATCH_ROWS,
    progress: Progress | None = None,
) -> Scored:
    """Scores the spine's rows with ``begin <= time < end``.

    Args:
      reader: gives the features.
      score: predicts, see ``scorers``.
      sink: takes ``prediction_table``'s rows, by stretch of time, entity and time.
      begin: microseconds since the epoch.
      end: excluded.
      model: the model's name, for the rows.
      slice_size: how much time to hold at once, microseconds.
      batch_rows: rows to a request at most.
      progress: told of each slice.

    Raises:
      DataError: if a source can't be read.
      PredictionError: if a prediction can't be made.
    """
    rows = 0
    versions: dict[int, int] = {}
    spine = reader.settings.spine
    for _, last, features in reader.slices(begin, end, slice_size):
        for first in range(0, len(features.table), batch_rows):
            piece = features.table.slice(first, batch_rows)
            prediction = score(piece)
            sink.write(prediction_table(piece, prediction, model, spine.entity, spine.time))
            rows += len(piece)
            versions[prediction.version] = versions.get(prediction.version, 0) + len(piece)
        if progress is not None:
            progress((last - begin) / (end - begin), rows)
    return Scored(rows, versions)


def prediction_table(
    features: pa.Table, prediction: Prediction, model: str, entity: str, time: str
) -> pa.Table:
    """Predictions with what they are of.

    Args:
      features: n rows.
      prediction: of these.
      model: the model's name.
      entity: the spine's column of the entity.
      time: the spine's column of the time, microseconds.

    Returns:
      n rows: ``model``, ``version``, entity, time (a timestamp in UTC), and the outputs: numbers,
      text, or lists of these.
    """
    entities = features[entity]
    if pa.types.is_binary(entities.type):
        entities = entities.cast(pa.string())
    columns = {
        "model": pa.array([model] * len(features), pa.string()),
        "version": pa.array(np.full(len(features), prediction.version, np.int64)),
        entity: entities,
        time: features[time].cast(pa.timestamp("us", "UTC")),
    }
    for name, values in sorted(prediction.outputs.items()):
        columns[name] = _output(values)
    return pa.table(columns)


def _output(values: np.ndarray) -> pa.Array:
    if values.dtype == object:
        decoded = np.frompyfunc(lambda value: value.decode(errors="replace"), 1, 1)(values)
        kind = pa.string()
        return pa.array(decoded.tolist(), kind if values.ndim == 1 else pa.list_(kind))
    if values.ndim == 1:
        return pa.array(values)
    flat = values.reshape(len(values), -1)
    return pa.array(list(flat), pa.list_(pa.from_numpy_dtype(values.dtype)))
