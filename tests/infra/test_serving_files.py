"""The files that TensorFlow Serving and its clients read say what they should."""

import json

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tests.infra.conftest import INFRA

SERVING = INFRA / "serving"


@pytest.mark.parametrize("track", ["stable", "canary"])
def test_models_are_pinned_by_number(track: str) -> None:
    text = (SERVING / track / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.base_path == f"/models/{model.name}"
    assert model.model_platform == "tensorflow"
    assert len(model.model_version_policy.specific.versions) == 1
    assert not model.version_labels


def test_only_what_may_be_repeated_is_retried() -> None:
    (method,) = json.loads((SERVING / "grpc-service-config.json").read_text())["methodConfig"]
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    for name in method["name"]:
        assert name["service"].endswith("PredictionService") or name["method"] == "GetModelStatus"
