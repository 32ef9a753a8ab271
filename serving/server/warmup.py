"""Requests that a version answers before it is published.

``assets.extra/tf_serving_warmup_requests`` is a TFRecord of PredictionLog. Rules and words are
those of servables/tensorflow/saved_model_warmup_util.cc.
"""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from components.ingest import tfrecord
from serving.server.errors import ServingError
from serving.server.serialized_examples import INPUTS, serialized
from serving.server.servable import Servable, as_serving_error, check_inputs
from serving.server.signatures import DEFAULT
from serving.server.tensor_protos import to_array

FILE = "assets.extra/tf_serving_warmup_requests"
MOST = 1000
"""Records; one more fails the load."""


def warm_up(servable: Servable) -> int:
    """Runs a version's warm-up requests.

    Args:
      servable: the version.

    Returns:
      How many were run; 0 without the file.

    Raises:
      ServingError: if the file is damaged, has too many records, or one of them fails.
    """
    path = str(Path(servable.folder) / FILE)
    if not Path(path).exists():
        return 0
    done = 0
    try:
        for record in _records(path):
            if done == MOST:
                raise _invalid(f"Number of warmup records exceeds the maximum ({MOST}) at {path}")
            _replay(servable, record, path)
            done += 1
    except Exception as error:
        raise as_serving_error(error) from None
    return done


def _records(path: str) -> Iterator[bytes]:
    try:
        yield from tfrecord.read_records([path])
    except ValueError as error:
        raise ServingError(grpc.StatusCode.DATA_LOSS, str(error)) from None


def _replay(servable: Servable, record: bytes, path: str) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise _invalid(f"Failed to parse warmup record: {record[:80]!r} from {path}") from None
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        inputs = {name: to_array(name, proto) for name, proto in request.inputs.items()}
    elif kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        inputs = {INPUTS: serialized(request.input)}
    else:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}"
        )
    name = request.model_spec.signature_name or DEFAULT
    if name not in servable.signatures:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
        )
    check_inputs(servable, name, inputs)
    servable.run(name, {key: np.asarray(array) for key, array in inputs.items()})


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
