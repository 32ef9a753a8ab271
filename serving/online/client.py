"""A client for programs: features in, predictions and the version that gave them out."""

import dataclasses
import random
import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TypeVar

import numpy as np
import pyarrow as pa

from serving.online.columns import request_columns
from serving.online.errors import PredictionError
from serving.online.observation import HEADER, observation
from serving.online.rest import RestTransport, predict_body
from serving.online.transport import Signature, Target, Transport, VersionState

REFRESH_SECONDS = 5.0
"""How long a signature that was asked for is believed."""

_LOOK_SECONDS = 0.2
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 1.0
_Answer = TypeVar("_Answer")


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predictions for n rows.

    Attributes:
      version: the version that gave them.
      outputs: by name [n] or [n, k]; text is bytes in an object array. See
        ``trainer.model.predictions``.
      request_id: by which the server's and the proxies' logs know the request.
    """

    version: int
    outputs: Mapping[str, np.ndarray]
    request_id: str = ""


class PredictionClient:
    """Asks a model server; keeps its connections, may be used by several threads.

    Works with TensorFlow Serving and with the embedded server. A prediction changes nothing on
    the server, so one that found it UNAVAILABLE is sent again, within the timeout. Nothing else is:
    a request that was too late, or refused, would only add to the load or be refused again.

    Args:
      server: ``http://host:8501`` or ``https://…`` for REST, ``grpc://host:8500`` or ``grpcs://…``
        for gRPC, which imports TensorFlow.
      model: the served model's name.
      version: by number; None: as the label says, or else as the server chooses.
      label: such as ``stable``.
      timeout: seconds for one call, all attempts together.
      attempts: how often to try at most.
      observed: the spine's columns of the entity and the time; with them a server that keeps
        requests knows what each is about.

    Raises:
      ValueError: if the address is none.
    """

    def __init__(
        self,
        server: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 5.0,
        attempts: int = 4,
        observed: tuple[str, str] | None = None,
    ) -> None:
        self._target = Target(model, version, label)
        self._timeout = timeout
        self._attempts = attempts
        self._observed = observed
        self._transport = _transport(server)
        self._signature: tuple[float, Signature] | None = None

    def __enter__(self) -> "PredictionClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        self._transport.close()

    def signature(self) -> Signature:
        """The columns that the model asks for.

        Raises:
          PredictionError: if the server can't be reached, or lacks model, version or signature.
        """
        return self._known_signature(time.monotonic() + self._timeout)

    def wait_until_loaded(self, seconds: float, tell: Callable[[str], object]) -> None:
        """Waits for a model that the server is loading; returns at once where it answers.

        Args:
          seconds: how long at most.
          tell: called with a line before it waits, if it does.

        Raises:
          PredictionError: NOT_FOUND if the server neither has the model nor is loading it;
            DEADLINE_EXCEEDED if it is still loading it; else as of ``signature``.
        """
        deadline = time.monotonic() + seconds
        waits = False
        while True:
            try:
                self.signature()
                return
            except PredictionError as error:
                if error.code != "NOT_FOUND":
                    raise
            what = self._loading()
            if time.monotonic() >= deadline:
                raise PredictionError("DEADLINE_EXCEEDED", f"{what}, still after {seconds:g} s")
            if not waits:
                tell(f"{what}: waiting {seconds:g} s at most")
                waits = True
            time.sleep(_LOOK_SECONDS)

    def predict(self, table: pa.Table) -> Prediction:
        """Predicts for features.

        Args:
          table: n rows, as ``FeatureReader`` gives them; columns that the model does not ask for
            are left out.

        Raises:
          PredictionError: if the features lack a column, or the server can't answer in time.
        """
        deadline = time.monotonic() + self._timeout
        try:
            return self._predict(table, deadline)
        except PredictionError as error:
            # The version may have gone, or another with other columns may have come.
            stale = self._signature is not None and error.code in ("NOT_FOUND", "INVALID_ARGUMENT")
            if not stale:
                raise
            before = self._signature
            self._signature = None
            if before is not None and before[1] == self._known_signature(deadline):
                raise
            return self._predict(table, deadline)

    def body(self, table: pa.Table) -> str:
        """The JSON that asks a REST server for the same as ``predict``, for other programs.

        Raises:
          PredictionError: as of ``signature``, or if the features lack a column.
        """
        return predict_body(self._target.signature, request_columns(table, self.signature().inputs))

    def _predict(self, table: pa.Table, deadline: float) -> Prediction:
        signature = self._known_signature(deadline)
        columns = request_columns(table, signature.inputs)
        request_id = uuid.uuid4().hex
        headers = {"x-request-id": request_id}
        if self._observed and (told := observation(table, *self._observed)):
            headers[HEADER] = told
        version, outputs = self._tried(
            deadline,
            lambda left: self._transport.predict(self._target, signature, columns, left, headers),
        )
        return Prediction(version, outputs, request_id)

    def _known_signature(self, deadline: float) -> Signature:
        known = self._signature
        if known is None or time.monotonic() - known[0] > REFRESH_SECONDS:
            told = self._tried(deadline, lambda left: self._transport.signature(self._target, left))
            known = time.monotonic(), told
            self._signature = known
        return known[1]

    def _loading(self) -> str:
        """What the server is loading, in words; raises NOT_FOUND if it is nothing of the model."""
        model = self._target.model
        states: list[VersionState] = []
        try:
            states = self._tried(
                time.monotonic() + self._timeout,
                lambda left: self._transport.states(self._target, left),
            )
        except PredictionError as error:
            if error.code != "NOT_FOUND":
                raise
        for one in states:
            if one.state in ("START", "LOADING", "AVAILABLE"):
                tried = f" again, which failed: {one.error}" if one.error else ""
                return f"the server is loading version {one.version} of {model}{tried}"
        for one in states:
            if one.error:
                raise PredictionError(
                    "NOT_FOUND",
                    f"version {one.version} of {model} could not be loaded: {one.error}",
                )
        raise PredictionError(
            "NOT_FOUND", f"the server has no model {model}, nor is it loading one"
        )

    def _tried(self, deadline: float, call: Callable[[float], _Answer]) -> _Answer:
        wait = _FIRST_WAIT
        for attempt in range(1, self._attempts + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                raise PredictionError("DEADLINE_EXCEEDED", f"no answer in {self._timeout:.3g} s")
            try:
                return call(left)
            except PredictionError as error:
                pause = wait * random.uniform(0.5, 1.0)
                late = time.monotonic() + pause >= deadline
                if error.code != "UNAVAILABLE" or attempt == self._attempts or late:
                    raise
            time.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT)
        raise PredictionError("UNAVAILABLE", "no attempt was allowed")


def _transport(server: str) -> Transport:
    scheme, _, address = server.partition("://")
    if scheme in ("grpc", "grpcs") and address:
        from serving.online.rpc import RpcTransport

        return RpcTransport(address.rstrip("/"), secure=scheme == "grpcs")
    return RestTransport(server)
