"""PredictionService and ModelService of TensorFlow Serving's gRPC API."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.server.access_log import AccessLog, record
from serving.server.core import Core, Target
from serving.server.errors import ServingError
from serving.server.example_methods import classify, regress
from serving.server.exchange import Answer, Entry, Exchange
from serving.server.json_text import invalid
from serving.server.tensor_protos import to_array, to_proto

_SIGNATURE_DEF = "signature_def"
_SHOWN = 1024
_log = logging.getLogger(__name__)


class Calls:
    """What every call does besides its work: the error's form, metrics, the access log.

    Args:
      core: what holds the models.
      access_log: gets an entry for each call.
    """

    def __init__(self, core: Core, access_log: AccessLog) -> None:
        self.core = core
        self._access_log = access_log
        self._released = asyncio.Event()
        self._released.set()

    def hold(self) -> None:
        """Keeps answers back until ``release``, so that clients that wait for them send no more."""
        self._released.clear()

    def release(self) -> None:
        """Lets answers go."""
        self._released.set()

    @contextlib.asynccontextmanager
    async def call(
        self, method: str, request: Any, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Entry]:
        """Surrounds a call.

        Args:
          method: its name in the log.
          request: has a ``model_spec``, or none.
          context: is aborted with the code and message of a ServingError; like TensorFlow
            Serving's, messages are cut at 1,024 characters.
        """
        at, begin = time.time(), time.perf_counter()
        metadata = dict(context.invocation_metadata() or ())
        entry = Entry(
            "GRPC",
            method,
            request_id=str(metadata.get("x-request-id", "")),
            traceparent=str(metadata.get("traceparent", "")),
            observation=str(metadata.get("x-observation", "")),
        )
        spec = getattr(request, "model_spec", None)
        if spec is not None:
            entry.model, entry.signature = spec.name, spec.signature_name
            if spec.HasField("version"):
                entry.version = spec.version.value
        failure: ServingError | None = None
        try:
            yield entry
        except ServingError as error:
            failure = error
        except asyncio.CancelledError:
            left = context.time_remaining()
            late = left is not None and left <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            entry.status = code.name
            raise
        except Exception:
            _log.exception("%s failed", method)
            failure = ServingError(grpc.StatusCode.INTERNAL, "Internal error; see the server's log")
        finally:
            if failure is not None:
                entry.status = failure.code.name
            entry.seconds = time.perf_counter() - begin
            record(self.core, self._access_log, at, entry)
        if not self._released.is_set():
            await self._released.wait()
        if failure is not None:
            await context.abort(failure.code, _cut(failure.message))


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress and GetModelMetadata."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._core = calls.core

    async def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: grpc.aio.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Answers the outputs that ``output_filter`` names, or all."""
        response = predict_pb2.PredictResponse()
        async with self._calls.call("predict", request, context) as entry:
            target = self._pin(request, entry)
            inputs = {name: to_array(name, proto) for name, proto in request.inputs.items()}
            entry.rows = next((len(array) for array in inputs.values() if array.ndim), 0)
            answer = await self._core.predict(
                target,
                inputs,
                output_filter=list(request.output_filter),
                deadline=_deadline(context),
            )
            for name, array in answer.outputs.items():
                response.outputs[name].CopyFrom(to_proto(array))
            _tell(answer, response.model_spec, entry, Exchange(inputs, answer.outputs))
        return response

    async def Classify(  # noqa: N802
        self,
        request: classification_pb2.ClassificationRequest,
        context: grpc.aio.ServicerContext,
    ) -> classification_pb2.ClassificationResponse:
        """Answers each example's classes and scores."""
        response = classification_pb2.ClassificationResponse()
        async with self._calls.call("classify", request, context) as entry:
            answer, result = await classify(
                self._core, self._pin(request, entry), request.input, _deadline(context)
            )
            response.result.CopyFrom(result)
            entry.rows = len(result.classifications)
            _tell(answer, response.model_spec, entry, Exchange(request.input, result))
        return response

    async def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: grpc.aio.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        """Answers each example's value."""
        response = regression_pb2.RegressionResponse()
        async with self._calls.call("regress", request, context) as entry:
            answer, result = await regress(
                self._core, self._pin(request, entry), request.input, _deadline(context)
            )
            response.result.CopyFrom(result)
            entry.rows = len(result.regressions)
            _tell(answer, response.model_spec, entry, Exchange(request.input, result))
        return response

    async def GetModelMetadata(  # noqa: N802
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answers the model's signatures, the one field of metadata that there is."""
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        async with self._calls.call("metadata", request, context) as entry:
            target = _target(request)
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != _SIGNATURE_DEF:
                    raise invalid(f"Metadata field {field} is not supported")
            entry.version, definitions = self._core.signature_defs(target)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, definition in definitions.items():
                signatures.signature_def[name].CopyFrom(definition)
            response.metadata[_SIGNATURE_DEF].Pack(signatures)
            response.model_spec.name = target.model
            response.model_spec.version.value = entry.version
        return response

    def _pin(self, request: Any, entry: Entry) -> Target:
        target = self._core.pin(_target(request))
        entry.version = target.version
        return target

    # MultiInference stays as the generated base class has it: UNIMPLEMENTED.


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._core = calls.core

    async def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Answers the state of one version, or of all."""
        response = get_model_status_pb2.GetModelStatusResponse()
        async with self._calls.call("status", request, context):
            target = _target(request)
            states = self._core.status(target.model, target.version, target.label)
            response.model_version_status.extend(states)
        return response

    async def HandleReloadConfigRequest(  # noqa: N802
        self,
        request: model_management_pb2.ReloadConfigRequest,
        context: grpc.aio.ServicerContext,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Replaces the whole list of models."""
        response = model_management_pb2.ReloadConfigResponse()
        async with self._calls.call("reload", request, context):
            if request.config.WhichOneof("config") != "model_config_list":
                raise invalid(
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                    "ModelConfigList is currently supported"
                )
            await self._core.reload(request.config)
        return response


def add_services(server: grpc.aio.Server, core: Core, access_log: AccessLog) -> Calls:
    """Registers both services with a server, and returns what their calls share."""
    calls = Calls(core, access_log)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(calls), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(calls), server)
    return calls


def _target(request: Any) -> Target:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec: model_pb2.ModelSpec = request.model_spec
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return Target(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
        spec.signature_name,
    )


def _tell(answer: Answer, spec: model_pb2.ModelSpec, entry: Entry, exchange: Exchange) -> None:
    """Says which model, version and signature answered."""
    spec.name, spec.signature_name = answer.model, answer.signature
    spec.version.value = answer.version
    entry.answered(answer, exchange)


def _deadline(context: grpc.aio.ServicerContext) -> float | None:
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


def _cut(message: str) -> str:
    return message if len(message) <= _SHOWN else f"{message[:_SHOWN]}...TRUNCATED"
