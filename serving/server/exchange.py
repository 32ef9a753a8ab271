"""A request, its answer, and what is told of both."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

Arrays = Mapping[str, np.ndarray]

_ID = 128


@dataclasses.dataclass(frozen=True)
class Answer:
    """A model's outputs, which version and signature made them, and which run made the version."""

    outputs: Arrays
    model: str
    version: int
    signature: str
    run_id: str


@dataclasses.dataclass(frozen=True)
class Exchange:
    """A request and its answer, as their method has them; not changed any more."""

    asked: Arrays | input_pb2.Input
    answered: Arrays | classification_pb2.ClassificationResult | regression_pb2.RegressionResult

    @property
    def size(self) -> int:
        """About how many bytes of memory they hold."""
        return sum(map(_size, (self.asked, self.answered)))


@dataclasses.dataclass
class Entry:
    """What is told of a request.

    Attributes:
      api: REST or GRPC.
      method: predict, classify, regress, status, metadata, reload; "" if it could not be told.
      model: as the request names it.
      version: the one that answered, or the one asked for.
      signature: likewise.
      status: the gRPC code's name, also for REST.
      seconds: from the first byte of the body until the answer was made.
      rows: the batch size; 0 where there is none.
      request_id: the header ``x-request-id``, at most 128 characters.
      traceparent: the header, as it came.
      run_id: the pipeline run that made the version.
      observation: of the header ``x-observation``, what the rows are about; see
        ``prediction_logs``.
      exchange: what was asked and answered, until the sampler has had it.
    """

    api: str
    method: str = ""
    model: str = ""
    version: int | None = None
    signature: str = ""
    status: str = "OK"
    seconds: float = 0.0
    rows: int = 0
    request_id: str = ""
    traceparent: str = ""
    run_id: str = ""
    observation: str = ""
    exchange: Exchange | None = None

    def __post_init__(self) -> None:
        """Cuts what a client may have made too long."""
        self.request_id = self.request_id[:_ID]

    def answered(self, answer: Answer, exchange: Exchange) -> None:
        """Takes from an answer what made it."""
        self.exchange = exchange
        self.version, self.signature = answer.version, answer.signature
        self.run_id = answer.run_id


def _size(part: object) -> int:
    if isinstance(part, Mapping):
        return sum(
            sum(map(len, array.flat)) if array.dtype == object else array.nbytes
            for array in part.values()
        )
    return int(part.ByteSize())  # type: ignore[attr-defined]
