"""Real requests for a candidate: rows of examples, for each of its signatures."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf import message
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.ingest import examples

EXAMPLES = "serving_default"
COLUMNS = "predict_columns"
MISSING_INTEGER = -(2**63)
"""Stands for a missing integer category in ``predict_columns``; see trainer/signatures.py."""

Inputs = Mapping[str, npt.NDArray[np.generic]]


@dataclasses.dataclass(frozen=True)
class Request:
    """Rows for one signature.

    Attributes:
      signature: its name.
      rows: which of the examples these are.
      inputs: one array an input, [rows].
    """

    signature: str
    rows: slice
    inputs: Inputs

    def message(self, model: str) -> predict_pb2.PredictRequest:
        """The request as PredictionService takes it."""
        import tensorflow as tf

        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = self.signature
        for name, values in self.inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        return request


def columns(batch: pa.RecordBatch, types: Mapping[str, np.dtype]) -> Inputs:
    """Rows as ``predict_columns`` takes them.

    Args:
      batch: n rows with at most one value a column.
      types: the signature's inputs: object for text, int64 for integer categories, float64 for
        other numbers.

    Returns:
      One array [n] an input; '' , MISSING_INTEGER and NaN stand for missing values, also where the
      rows have no such column.
    """
    made: dict[str, npt.NDArray[np.generic]] = {}
    for name, dtype in types.items():
        index = batch.schema.get_field_index(name)
        values = batch.column(index) if index >= 0 else pa.nulls(batch.num_rows)
        if dtype == np.dtype(object):
            filled = values.cast(pa.binary()).fill_null(b"")
            made[name] = np.array(filled.to_pylist(), object)
        elif dtype == np.dtype(np.int64):
            made[name] = values.cast(pa.int64()).fill_null(MISSING_INTEGER).to_numpy(False)
        else:
            made[name] = values.cast(pa.float64()).fill_null(float("nan")).to_numpy(False)
    return made


def make(
    records: Sequence[bytes], types: Mapping[str, np.dtype] | None, size: int
) -> list[Request]:
    """Requests for rows of examples.

    Args:
      records: serialized tf.Examples.
      types: the inputs of ``predict_columns``; None if the model has no such signature.
      size: rows a request; the last may have fewer.

    Returns:
      For each chunk of rows a request for each signature, alternating.
    """
    batch = examples.flatten(examples.decode(records)) if types else None
    serialized = np.array(records, object)
    made = []
    for begin in range(0, len(records), size):
        rows = slice(begin, min(begin + size, len(records)))
        made.append(Request(EXAMPLES, rows, {"examples": serialized[rows]}))
        if types and batch is not None:
            part = batch.slice(rows.start, rows.stop - rows.start)
            made.append(Request(COLUMNS, rows, columns(part, types)))
    return made


def warmup(messages: Sequence[predict_pb2.PredictRequest]) -> list[bytes]:
    """Requests as records of ``assets.extra/tf_serving_warmup_requests``."""

    def record(request: message.Message) -> bytes:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request)
        return bytes(log.SerializeToString())

    return [record(request) for request in messages]
