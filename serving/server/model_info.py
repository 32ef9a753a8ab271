"""What a model's state and signatures look like over REST, as TensorFlow Serving prints them."""

import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_status_pb2

_STATES = get_model_status_pb2.ModelVersionStatus.State
_STATUS = get_model_status_pb2.ModelVersionStatus.DESCRIPTOR.fields_by_name["status"].message_type
_CODES = _STATUS.fields_by_name["error_code"].enum_type
# protobuf renamed the option in its fifth release.
_PRINT_DEFAULTS = {
    name: True
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(json_format.MessageToDict).parameters
}


def status_json(states: Iterable[get_model_status_pb2.ModelVersionStatus]) -> bytes:
    """The answer to ``GET /v1/models/M``."""
    shown = [
        {
            "version": str(state.version),
            "state": _STATES.Name(state.state),
            "status": {
                "error_code": _CODES.values_by_number[state.status.error_code].name,
                "error_message": state.status.error_message,
            },
        }
        for state in states
    ]
    return _text({"model_version_status": shown})


def metadata_json(
    model: str, version: int, signatures: Mapping[str, meta_graph_pb2.SignatureDef]
) -> bytes:
    """The answer to ``GET /v1/models/M/metadata``."""
    shown = {name: _message(signatures[name]) for name in sorted(signatures)}
    return _text(
        {
            "model_spec": {"name": model, "signature_name": "", "version": str(version)},
            "metadata": {"signature_def": {"signature_def": shown}},
        }
    )


def _message(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True, **_PRINT_DEFAULTS)


def _text(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
