"""Real requests for a candidate: rows of examples, for each of its signatures."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf import message
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.ingest import examples
from serving.online.columns import request_columns

EXAMPLES = "serving_default"
COLUMNS = "predict_columns"
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


def columns(batch: pa.RecordBatch, inputs: Mapping[str, str]) -> Inputs:
    """Rows as ``predict_columns`` takes them, made by what the client makes them with.

    Args:
      batch: n rows with at most one value a column.
      inputs: the signature's inputs by name, with TensorFlow's name of their type.

    Returns:
      One array [n] an input; marks for missing values also where the rows have no such column.
    """
    table = pa.Table.from_batches([batch])
    for name in inputs:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table)))
    return request_columns(table, inputs)


def make(records: Sequence[bytes], inputs: Mapping[str, str] | None, size: int) -> list[Request]:
    """Requests for rows of examples.

    Args:
      records: serialized tf.Examples.
      inputs: of ``predict_columns``, see ``columns``; None if the model has no such signature.
      size: rows a request; the last may have fewer.

    Returns:
      For each chunk of rows a request for each signature, alternating.
    """
    batch = examples.flatten(examples.decode(records)) if inputs else None
    serialized = np.array(records, object)
    made = []
    for begin in range(0, len(records), size):
        rows = slice(begin, min(begin + size, len(records)))
        made.append(Request(EXAMPLES, rows, {"examples": serialized[rows]}))
        if inputs and batch is not None:
            part = batch.slice(rows.start, rows.stop - rows.start)
            made.append(Request(COLUMNS, rows, columns(part, inputs)))
    return made


def warmup(messages: Sequence[predict_pb2.PredictRequest]) -> list[bytes]:
    """Requests as records of ``assets.extra/tf_serving_warmup_requests``."""

    def record(request: message.Message) -> bytes:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request)
        return bytes(log.SerializeToString())

    return [record(request) for request in messages]
