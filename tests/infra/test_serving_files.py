"""The files that TensorFlow Serving and its clients read say what they should."""

import json

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server.config_files import read_batching, read_models, read_monitoring
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


@pytest.mark.parametrize("track", ["stable", "canary"])
def test_the_embedded_server_reads_the_models(track: str) -> None:
    (model,) = read_models(SERVING / track / "models.config").model_config_list.config
    assert list(model.model_version_policy.specific.versions) == [1]


def test_the_largest_request_fits_into_half_the_queue() -> None:
    batching = read_batching(SERVING / "batching.config")
    assert batching.enable_large_batch_splitting
    assert batching.max_execution_batch_size == 64
    queue = batching.max_enqueued_batches * batching.max_execution_batch_size
    assert batching.max_batch_size * 2 == queue


def test_prometheus_reads_where_the_pods_say() -> None:
    path = read_monitoring(SERVING / "monitoring.config")
    template = (INFRA / "kubernetes/base/track/deployment.yaml").read_text()
    pod = yaml.safe_load(template)["spec"]["template"]
    assert pod["metadata"]["annotations"]["prometheus.io/path"] == path


def test_the_pods_have_a_core_for_each_batch_thread() -> None:
    batching = read_batching(SERVING / "batching.config")
    template = (INFRA / "kubernetes/base/track/deployment.yaml").read_text()
    (container,) = yaml.safe_load(template)["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == str(batching.num_batch_threads)
