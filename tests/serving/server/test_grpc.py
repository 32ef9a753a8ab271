import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.server.tensor_protos import to_array, to_proto
from tests import patient
from tests.serving.server.served import MODEL, save_model, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpc") / MODEL
    folder.mkdir()
    save_model(folder)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    flags = [f"--model_name={MODEL}", f"--model_base_path={folder}"]
    with serving(folder.parent, flags) as served:
        yield served


@pytest.fixture
def channel(server):
    with server.channel() as channel:
        yield channel


@pytest.fixture
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request(inputs=None, name=MODEL, version=None, label="", signature="", outputs=()):
    made = predict_pb2.PredictRequest(output_filter=outputs)
    made.model_spec.name = name
    made.model_spec.signature_name = signature
    if version is not None:
        made.model_spec.version.value = version
    if label:
        made.model_spec.version_label = label
    for key, value in ({"x": np.array([1, 2], np.float32)} if inputs is None else inputs).items():
        made.inputs[key].CopyFrom(to_proto(value))
    return made


COLUMNS = {"a": np.array([[1, 2]], np.int64), "b": np.array([b"\xff"], object)}


def test_predict(predictions):
    answer = predictions.Predict(request(), timeout=60)
    assert to_array("y", answer.outputs["y"]).tolist() == [2.5, 3]
    assert list(answer.outputs["y"].float_val) == [2.5, 3]
    assert answer.model_spec.name == MODEL
    assert answer.model_spec.version.value == 1
    assert answer.model_spec.signature_name == "serving_default"


def test_predict_from_content(predictions):
    made = request({})
    made.inputs["x"].dtype = 1
    made.inputs["x"].tensor_shape.dim.add().size = 2
    made.inputs["x"].tensor_content = np.array([1, 2], np.float32).tobytes()
    answer = predictions.Predict(made, timeout=60)
    assert list(answer.outputs["y"].float_val) == [2.5, 3]


def test_output_filter(predictions):
    answer = predictions.Predict(request(COLUMNS, signature="columns"), timeout=60)
    assert set(answer.outputs) == {"sum", "text", "raw_bytes"}
    assert list(answer.outputs["text"].string_val) == [b"<\xff>"]
    filtered = request(COLUMNS, signature="columns", outputs=["sum"])
    assert set(predictions.Predict(filtered, timeout=60).outputs) == {"sum"}


CODE = grpc.StatusCode
ERRORS = {
    "unknown model": (request(name="nil"), CODE.NOT_FOUND, "Servable not found for request"),
    "unknown version": (request(version=7), CODE.NOT_FOUND, f"Specific({MODEL}, 7)"),
    "unknown label": (request(label="canary"), CODE.INVALID_ARGUMENT, "Unrecognized servable"),
    "unknown signature": (
        request(signature="nil"),
        CODE.FAILED_PRECONDITION,
        'Serving signature key "nil" not found.',
    ),
    "no name": (request(name=""), CODE.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    "no spec": (predict_pb2.PredictRequest(), CODE.INVALID_ARGUMENT, "Missing ModelSpec"),
    "no input": (request({}), CODE.INVALID_ARGUMENT, "input size does not match signature: 0!=1"),
    "wrong input": (request({"z": np.zeros(1, np.float32)}), CODE.INVALID_ARGUMENT, ""),
    "wrong dtype": (request({"x": np.zeros(1)}), CODE.INVALID_ARGUMENT, ""),
    "wrong shape": (
        request({**COLUMNS, "a": np.zeros((1, 3), np.int64)}, signature="columns"),
        CODE.INVALID_ARGUMENT,
        "",
    ),
    "unknown output": (
        request(outputs=["nil"]),
        CODE.INVALID_ARGUMENT,
        "output tensor alias not found in signature: nil",
    ),
}


@pytest.mark.parametrize(("sent", "code", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(predictions, sent, code, message):
    with pytest.raises(grpc.RpcError) as raised:
        predictions.Predict(sent, timeout=60)
    assert raised.value.code() == code, raised.value.details()
    assert message in raised.value.details()
    assert len(raised.value.details()) <= 1024 + len("...TRUNCATED")
    assert predictions.Predict(request(), timeout=60).outputs


def test_a_failure_counts_for_the_version_that_failed(predictions, server):
    garbage = np.array([b"garbage"], object)
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Predict(request({"inputs": garbage}, signature="classify"), timeout=60)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    page = patient.get(f"{server.url}/monitoring/prometheus/metrics").text
    assert (
        'serving_request_seconds_count{api="GRPC",model_name="half",status="INVALID_ARGUMENT",'
        'version="1"}'
    ) in page


def test_a_deadline_that_is_over(predictions):
    with pytest.raises(grpc.RpcError) as raised:
        predictions.Predict(request(), timeout=1e-9)
    assert raised.value.code() == CODE.DEADLINE_EXCEEDED


def example(x):
    made = example_pb2.Example()
    made.features.feature["x"].float_list.value.append(x)
    return made


def test_classify_and_regress(predictions):
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = MODEL, "classify"
    classify.input.example_list.examples.extend([example(0.75), example(0.5)])
    answer = predictions.Classify(classify, timeout=60)
    first = answer.result.classifications[0].classes
    assert [(entry.label, entry.score) for entry in first] == [("yes", 0.75), ("no", 0.25)]
    assert answer.model_spec.version.value == 1

    regress = regression_pb2.RegressionRequest()
    regress.model_spec.name, regress.model_spec.signature_name = MODEL, "regress"
    regress.input.example_list_with_context.context.CopyFrom(example(1.5))
    regress.input.example_list_with_context.examples.add()
    answer = predictions.Regress(regress, timeout=60)
    assert [entry.value for entry in answer.result.regressions] == [3]


def test_no_examples(predictions):
    sent = regression_pb2.RegressionRequest()
    sent.model_spec.name, sent.model_spec.signature_name = MODEL, "regress"
    with pytest.raises(grpc.RpcError) as raised:
        predictions.Regress(sent, timeout=60)
    assert (raised.value.code(), raised.value.details()) == (
        CODE.INVALID_ARGUMENT,
        "Input is empty.",
    )


def test_multi_inference_is_not_there(predictions):
    with pytest.raises(grpc.RpcError) as raised:
        predictions.MultiInference(inference_pb2.MultiInferenceRequest(), timeout=60)
    assert raised.value.code() == CODE.UNIMPLEMENTED


def test_metadata(predictions):
    sent = get_model_metadata_pb2.GetModelMetadataRequest()
    sent.model_spec.name = MODEL
    for field, message in (("", "at least one metadata_field"), ("x", "Metadata field x is not")):
        sent.metadata_field[:] = [field] if field else []
        with pytest.raises(grpc.RpcError) as raised:
            predictions.GetModelMetadata(sent, timeout=60)
        assert message in raised.value.details()
    sent.metadata_field[:] = ["signature_def"]
    answer = predictions.GetModelMetadata(sent, timeout=60)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert "x" in signatures.signature_def["serving_default"].inputs
    assert answer.model_spec.version.value == 1


def test_status_and_health(models, channel):
    sent = get_model_status_pb2.GetModelStatusRequest()
    sent.model_spec.name = MODEL
    (state,) = models.GetModelStatus(sent, timeout=60).model_version_status
    assert (state.version, state.state) == (1, 30)
    sent.model_spec.name = "nil"
    with pytest.raises(grpc.RpcError) as raised:
        models.GetModelStatus(sent, timeout=60)
    assert raised.value.code() == CODE.NOT_FOUND
    for service in ("", "tensorflow.serving.PredictionService"):
        asked = health_pb2.HealthCheckRequest(service=service)
        assert health_pb2_grpc.HealthStub(channel).Check(asked, timeout=60).status == 1


def test_a_reload_replaces_the_list(models, predictions, folder, tmp_path):
    with pytest.raises(grpc.RpcError) as raised:
        models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=60)
    assert "Only ModelConfigList is currently supported" in raised.value.details()

    other = tmp_path / "other"
    other.mkdir()
    save_model(other, addend=3.0)
    sent = model_management_pb2.ReloadConfigRequest()
    for name, path in ((MODEL, folder), ("other", other)):
        sent.config.model_config_list.config.add(
            name=name, base_path=str(path), model_platform="tensorflow"
        )
    models.HandleReloadConfigRequest(sent, timeout=60)
    assert _in_time(predictions, request(name="other")) == [3.5, 4]
    assert _in_time(predictions, request()) == [2.5, 3]


def _in_time(predictions, sent):
    deadline = time.monotonic() + 60
    while True:
        try:
            return list(predictions.Predict(sent, timeout=60).outputs["y"].float_val)
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
