"""TensorFlow Serving's gRPC API as a client sees it.

The messages' modules import TensorFlow, so this one is imported only where gRPC is asked for.
"""

from collections.abc import Mapping

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.online.errors import PredictionError
from serving.online.transport import Signature, Target, VersionState, no_such_signature

_BYTES = 256 << 20


class RpcTransport:
    """A server's gRPC API.

    Args:
      address: such as ``127.0.0.1:8500``.
      secure: whether to speak TLS.
    """

    versions_told = True

    def __init__(self, address: str, secure: bool = False) -> None:
        options = [
            ("grpc.max_receive_message_length", _BYTES),
            ("grpc.max_send_message_length", _BYTES),
            # The client retries by itself, within the caller's time.
            ("grpc.enable_retries", 0),
        ]
        self._channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
            if secure
            else grpc.insecure_channel(address, options)
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def signature(self, target: Target, timeout: float) -> Signature:
        """As ``Transport.signature``."""
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.metadata_field.append("signature_def")
        _name(request.model_spec, target)
        try:
            answer = self._stub.GetModelMetadata(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _told(error) from None
        there = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(there)
        if target.signature not in there.signature_def:
            raise PredictionError(
                "INVALID_ARGUMENT", no_such_signature(target, there.signature_def)
            )
        told = there.signature_def[target.signature]
        version = answer.model_spec.version.value
        return Signature(version, _dtypes(told.inputs), _dtypes(told.outputs))

    def states(self, target: Target, timeout: float) -> list[VersionState]:
        """As ``Transport.states``."""
        request = get_model_status_pb2.GetModelStatusRequest()
        _name(request.model_spec, target)
        try:
            answer = self._models.GetModelStatus(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _told(error) from None
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return [
            VersionState(one.version, name(one.state), one.status.error_message)
            for one in answer.model_version_status
        ]

    def predict(
        self,
        target: Target,
        signature: Signature,
        columns: Mapping[str, np.ndarray],
        timeout: float,
        headers: Mapping[str, str],
    ) -> tuple[int, dict[str, np.ndarray]]:
        """As ``Transport.predict``."""
        request = predict_pb2.PredictRequest()
        _name(request.model_spec, target)
        request.model_spec.signature_name = target.signature
        for name, values in columns.items():
            dtype = types_pb2.DataType.Value(signature.inputs[name])
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype, values.shape))
        try:
            answer = self._stub.Predict(request, timeout=timeout, metadata=list(headers.items()))
        except grpc.RpcError as error:
            raise _told(error) from None
        outputs = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        return answer.model_spec.version.value, outputs

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def _name(spec: object, target: Target) -> None:
    spec.name = target.model  # type: ignore[attr-defined]
    if target.version is not None:
        spec.version.value = target.version  # type: ignore[attr-defined]
    elif target.label is not None:
        spec.version_label = target.label  # type: ignore[attr-defined]


def _dtypes(tensors: Mapping[str, object]) -> dict[str, str]:
    return {
        name: types_pb2.DataType.Name(told.dtype)  # type: ignore[attr-defined]
        for name, told in tensors.items()
    }


def _told(error: grpc.RpcError) -> PredictionError:
    return PredictionError(error.code().name, error.details() or "")
