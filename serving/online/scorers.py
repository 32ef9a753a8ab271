"""Who scores a batch: a model server, or a SavedModel in this process."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from serving.online.client import Prediction, PredictionClient
from serving.online.columns import request_columns
from serving.online.errors import PredictionError

Score = Callable[[pa.Table], Prediction]
"""Predicts for a table of features."""

_SIGNATURE = "predict_columns"


def server_scorer(client: PredictionClient) -> Score:
    """Scores by asking a server."""
    return client.predict


def model_scorer(folder: str | Path, version: int | None = None) -> Score:
    """Scores by a SavedModel in this process, which imports TensorFlow.

    Args:
      folder: a model's version folder, such as ``var/serving/plant-failures/1745000000``.
      version: what to call it; None: the folder's name.

    Raises:
      PredictionError: if the folder holds no SavedModel with ``predict_columns``, or no version
        is said and its name is none.
    """
    path = Path(folder)
    if not (path / "saved_model.pb").is_file():
        raise PredictionError("NOT_FOUND", f"{path} holds no saved_model.pb")
    if version is None and not path.name.isdigit():
        raise PredictionError("INVALID_ARGUMENT", f"{path}: its name is no version number")
    number = int(path.name) if version is None else version
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    # The signatures' functions hold no reference to the model that owns their variables.
    model: Any = tf.saved_model.load(str(path))
    if _SIGNATURE not in model.signatures:
        raise PredictionError(
            "INVALID_ARGUMENT",
            f"{path} has no signature {_SIGNATURE!r}; it has {', '.join(sorted(model.signatures))}",
        )
    run = model.signatures[_SIGNATURE]
    specs = run.structured_input_signature[1]
    inputs = {
        name: types_pb2.DataType.Name(spec.dtype.as_datatype_enum) for name, spec in specs.items()
    }

    def score(table: pa.Table) -> Prediction:
        assert model is not None
        columns = request_columns(table, inputs)
        given = {
            name: tf.constant(values, specs[name].dtype, values.shape)
            for name, values in columns.items()
        }
        outputs = {name: np.asarray(tensor) for name, tensor in run(**given).items()}
        return Prediction(number, outputs)

    return score
