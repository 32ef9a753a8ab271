"""What a request is answered with, beside what TensorFlow Serving's sources say.

One table a way in; after each row the server must still answer a good request.
"""

import contextlib
import json
import socket
import time

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.server.tensor_protos import to_array
from tests import patient
from tests.postgres import wait_until
from tests.serving.server.served import MODEL, Served, save_model, serving

M = f"/v1/models/{MODEL}"
BIG = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("conformance")
    folder = scratch / MODEL
    folder.mkdir()
    save_model(folder)
    flags = [
        f"--model-name={MODEL}",
        f"--model-base-path={folder}",
        f"--max-request-bytes={BIG}",
        "--header-seconds=4",
        "--body-seconds=4",
        "--max-connections=20",
    ]
    with serving(scratch, flags) as served:
        yield served


@pytest.fixture(autouse=True)
def it_lives(server):
    yield
    answer = patient.post(f"{server.url}{M}:predict", json={"instances": [1]})
    assert answer.json() == {"predictions": [2.5]}


NO_SUCH_KEY = "JSON object: does not have named input: y"

ANSWERS = {
    "rows": (f"{M}:predict", {"instances": [1, 2, 5]}, {"predictions": [2.5, 3, 4.5]}),
    "named rows": (f"{M}:predict", {"instances": [{"x": 1}]}, {"predictions": [2.5]}),
    "columns": (f"{M}:predict", {"inputs": [1, 2]}, {"outputs": [2.5, 3]}),
    "named columns": (f"{M}:predict", {"inputs": {"x": [1]}}, {"outputs": [2.5]}),
    "a version": (f"{M}/versions/1:predict", {"instances": [1]}, {"predictions": [2.5]}),
    "case of the path": (f"/V1/Models/{MODEL}:PREDICT", {"inputs": [1]}, {"outputs": [2.5]}),
    "bytes": (
        f"{M}:predict",
        {
            "signature_name": "columns",
            "instances": [{"a": [1, 2], "b": {"b64": "/w=="}}, {"a": [3, 4], "b": "ö"}],
        },
        {
            "predictions": [
                {"sum": 3, "text": "<�>", "raw_bytes": {"b64": "/w=="}},
                {"sum": 7, "text": "<ö>", "raw_bytes": {"b64": "w7Y="}},
            ]
        },
    ),
    "classify": (
        f"{M}:classify",
        {"signature_name": "classify", "examples": [{"x": 0.75}, {"x": [0.5]}]},
        {"results": [[["yes", 0.75], ["no", 0.25]], [["yes", 0.5], ["no", 0.5]]]},
    ),
    "regress": (
        f"{M}:regress",
        {"signature_name": "regress", "examples": [{"x": 0.5}, {"x": 1.5}]},
        {"results": [1, 3]},
    ),
    "regress with a context": (
        f"{M}:regress",
        {"signature_name": "regress", "context": {"x": 2.5}, "examples": [{"other": "a"}]},
        {"results": [5]},
    ),
}


@pytest.mark.parametrize(("path", "body", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_answers(server, path, body, expected):
    answer = patient.post(server.url + path, json=body)
    assert (answer.status_code, answer.json()) == (200, expected)
    assert answer.headers["content-type"] == "application/json"


def test_not_a_number_and_infinity(server):
    body = b'{"instances": [NaN, Infinity, -Infinity, 1]}'
    answer = patient.post(f"{server.url}{M}:predict", content=body)
    assert answer.content == b'{"predictions":[NaN,Infinity,-Infinity,2.5]}'


ERRORS = {
    # what: method, path, body, code, part of the message
    "empty body": ("POST", f"{M}:predict", b"", 400, "JSON Parse error: The document is empty"),
    "malformed JSON": (
        "POST",
        f"{M}:predict",
        b'{"instances": [1',
        400,
        "JSON Parse error: Missing a comma or ] after an array element. at offset: 16",
    ),
    "not an object": ("POST", f"{M}:predict", b"[1]", 400, "JSON Value: [1] Is not object"),
    "no input": ("POST", f"{M}:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
    "wrong dtype": (
        "POST",
        f"{M}:predict",
        {"instances": ["one"]},
        400,
        "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: "
        '"one" Type: String is not of expected type: float',
    ),
    "ragged": (
        "POST",
        f"{M}:predict",
        {"instances": [[1], [2, 3]]},
        400,
        "Expecting tensor size: 1 but got: 2",
    ),
    "wrong shape": (
        "POST",
        f"{M}:predict",
        {"signature_name": "columns", "inputs": {"a": [[1, 2, 3]], "b": ["x"]}},
        400,
        "",
    ),
    "unknown input": ("POST", f"{M}:predict", {"instances": [{"y": 1}]}, 400, NO_SUCH_KEY),
    "missing input": (
        "POST",
        f"{M}:predict",
        {"signature_name": "columns", "inputs": {"a": [[1, 2]]}},
        400,
        "Missing named input: b in 'inputs' object.",
    ),
    "unknown model": (
        "POST",
        "/v1/models/nil:predict",
        {"instances": [1]},
        404,
        "Servable not found for request: Latest(nil)",
    ),
    "unknown version": (
        "POST",
        f"{M}/versions/7:predict",
        {"instances": [1]},
        404,
        f"Servable not found for request: Specific({MODEL}, 7)",
    ),
    "unknown label": (
        "POST",
        f"{M}/labels/canary:predict",
        {"instances": [1]},
        400,
        "Unrecognized servable version label: canary",
    ),
    "unknown signature": (
        "POST",
        f"{M}:predict",
        {"signature_name": "nil", "instances": [1]},
        400,
        'Serving signature name: "nil" not found in signature def',
    ),
    "a signature that is no string": (
        "POST",
        f"{M}:predict",
        {"signature_name": 1, "instances": [1]},
        400,
        "'signature_name' key must be a string value.",
    ),
    "a version that is no number": (
        "POST",
        f"{M}/versions/latest:predict",
        {},
        400,
        f"Malformed request: POST {M}/versions/latest:predict",
    ),
    "a version too large": (
        "GET",
        f"{M}/versions/99999999999999999999",
        b"",
        400,
        "Failed to convert version: 99999999999999999999 to numeric.",
    ),
    "unknown method": ("POST", f"{M}:train", {}, 400, f"Malformed request: POST {M}:train"),
    "wrong verb": ("PUT", f"{M}:predict", {}, 400, f"Malformed request: PUT {M}:predict"),
    "no model": ("GET", "/v1/models", b"", 400, "Missing model name in request."),
    "status of an unknown model": (
        "GET",
        "/v1/models/nil",
        b"",
        404,
        "Could not find any versions of model nil",
    ),
    "status of an unknown version": (
        "GET",
        f"{M}/versions/7",
        b"",
        404,
        f"Could not find version 7 of model {MODEL}",
    ),
    "no path of ours": ("GET", "/v2/health", b"", 404, "Not Found"),
    "classify without its signature": (
        "POST",
        f"{M}:classify",
        {"examples": [{"x": 1.0}]},
        400,
        "No classification inputs found in SignatureDef: ",
    ),
    "regress without its signature": (
        "POST",
        f"{M}:regress",
        {"signature_name": "classify", "examples": [{"x": 1.0}]},
        400,
        "Expected one output Tensor.",
    ),
    "classify with an unknown signature": (
        "POST",
        f"{M}:classify",
        {"signature_name": "nil", "examples": [{"x": 1.0}]},
        400,
        "No signature was found with the name: nil",
    ),
    "no examples": (
        "POST",
        f"{M}:classify",
        {"signature_name": "classify"},
        400,
        "key 'examples' is expected and was not found",
    ),
    "an example that is no object": (
        "POST",
        f"{M}:regress",
        {"signature_name": "regress", "examples": [1]},
        400,
        "Example must be JSON object but got JSON Number",
    ),
    "a feature of two kinds": (
        "POST",
        f"{M}:regress",
        {"signature_name": "regress", "examples": [{"x": [1.5, "a"]}]},
        400,
        "Unexpected element type in feature: x expecting type: float",
    ),
    "giant body": ("POST", f"{M}:predict", b" " * (BIG + 1), 413, "is larger than"),
}


@pytest.mark.parametrize(("method", "path", "body", "code", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(server, method, path, body, code, message):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = patient.request(method, server.url + path, content=content)
    assert answer.status_code == code, answer.text
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


def test_a_giant_body_is_refused_before_it_is_sent(server):
    head = f"POST {M}:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {1 << 40}\r\n\r\n"
    assert _talk(server, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_giant_body_in_chunks(server):
    def chunks():
        for _ in range(40):
            yield b" " * (BIG // 16)

    answer = patient.post(f"{server.url}{M}:predict", content=chunks())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "sent",
    [
        f"POST {M}:predict HTTP/1.1\r\nhost: x\r\ncontent-le".encode(),
        f'POST {M}:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{{"inst'.encode(),
    ],
    ids=["headers", "body"],
)
def test_a_slow_client_is_told_and_left(server, sent):
    begin = time.monotonic()
    answer = _talk(server, sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive in time" in answer
    assert time.monotonic() - begin > 2


def test_a_half_closed_connection_gets_its_answer(server):
    body = b'{"instances": [1]}'
    head = f"POST {M}:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    answer = _talk(server, head.encode() + body, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"predictions":[2.5]}')


def test_a_client_that_goes_away(server):
    with socket.create_connection(("127.0.0.1", server.rest)) as client:
        client.sendall(f"POST {M}:predict HTTP/1.1\r\ncontent-length: 99\r\n\r\n".encode())


def test_what_is_no_http(server):
    assert _talk(server, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_connections_too_many(server):
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.rest)))
            for _ in range(25)
        ]
        clients[-1].settimeout(60)
        assert _all_of(clients[-1]).startswith(b"HTTP/1.1 503 ")
    wait_until(lambda: patient.get(f"{server.url}{M}").status_code == 200)


def test_status_as_it_is_printed(server):
    assert patient.get(f"{server.url}{M}").text == (
        '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "AVAILABLE",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}\n'
    )
    assert patient.get(f"{server.url}{M}/versions/1").json()["model_version_status"]


def test_metadata(server):
    metadata = patient.get(f"{server.url}{M}/metadata").json()
    assert metadata["model_spec"] == {"name": MODEL, "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) >= {"serving_default", "columns", "classify", "regress"}
    info = signatures["serving_default"]["inputs"]["x"]
    assert info["dtype"] == "DT_FLOAT"
    assert info["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signatures["columns"]["method_name"] == "tensorflow/serving/predict"


def test_metrics(server):
    patient.post(f"{server.url}{M}:predict", json={"instances": [1]})
    text = patient.get(f"{server.url}/monitoring/prometheus/metrics").text
    count = f':tensorflow:serving:request_count{{model_name="{MODEL}",status="OK"}}'
    assert any(line.startswith(count) for line in text.splitlines())
    assert ":tensorflow:serving:request_latency_bucket" in text


def test_both_ways_in_answer_the_same(server):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL
    request.inputs["x"].CopyFrom(_floats([1, 2, 5]))
    with server.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=60)
    rest = patient.post(f"{server.url}{M}:predict", json={"inputs": [1, 2, 5]}).json()
    assert to_array("y", answer.outputs["y"]).tolist() == rest["outputs"]


def test_a_giant_message(server):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL
    request.inputs["x"].CopyFrom(_floats([0.0] * BIG))
    with server.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def _floats(values):
    import numpy as np

    from serving.server.tensor_protos import to_proto

    return to_proto(np.array(values, np.float32))


def _talk(server: Served, sent: bytes, half_close: bool = False) -> bytes:
    with socket.create_connection(("127.0.0.1", server.rest)) as client:
        client.settimeout(60)
        client.sendall(sent)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return _all_of(client)


def _all_of(client: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
            if b'"error":' in part:
                break
    return b"".join(parts)
