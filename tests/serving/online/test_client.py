"""The client against real sockets: a small REST server and a gRPC server on the official stubs."""

import contextlib
import http.server
import json
import math
import os
import subprocess
import sys
import threading
from concurrent import futures

import numpy as np
import pyarrow as pa
import pytest

from serving.online.client import PredictionClient
from serving.online.columns import MISSING_INTEGER, request_columns
from serving.online.errors import PredictionError
from tests.ports import free_port

INPUTS = {"load": "DT_DOUBLE", "model": "DT_STRING", "grade": "DT_INT64"}
OUTPUTS = {"probabilities": "DT_FLOAT", "classes": "DT_INT64"}
ROWS = pa.table(
    {
        "load": pa.array([1.5, None, 0.1], pa.float32()),
        "model": pa.array([b"A", None, b"\xff"], pa.binary()),
        "grade": pa.array([3, None, 5], pa.int64()),
        "unasked": pa.array([1, 2, 3]),
    }
)


class RestServer(http.server.ThreadingHTTPServer):
    """Speaks as much of the REST API as a client needs; ``faults`` are answered first.

    A fault is a status, or an event that the answer waits for.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.versions = {4: dict(INPUTS)}
        self.faults: list[int | threading.Event] = []
        self.requests: list[tuple[str, object]] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RestServer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(body)

    def _answer(self, body) -> None:
        self.server.requests.append((self.path, body))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, threading.Event):
            fault.wait(60)
        elif fault is not None:
            return self._send(fault, {"error": "not now"})
        newest = max(self.server.versions)
        version = newest
        if "/versions/" in self.path:
            version = int(self.path.split("/versions/")[1].split("/")[0].split(":")[0])
        if version not in self.server.versions:
            return self._send(404, {"error": f"no version {version}"})
        inputs = self.server.versions[version]
        if body is None:
            told = {
                "inputs": {n: {"dtype": d} for n, d in inputs.items()},
                "outputs": {n: {"dtype": d} for n, d in OUTPUTS.items()},
            }
            signatures = {"signature_def": {"predict_columns": told}}
            spec = {"name": "plant", "version": str(version)}
            return self._send(200, {"model_spec": spec, "metadata": {"signature_def": signatures}})
        if body["inputs"].keys() != inputs.keys():
            return self._send(400, {"error": "wrong columns"})
        loads = body["inputs"]["load"]
        said = [0.5 if math.isnan(load) else load / 10 for load in loads]
        outputs = {"probabilities": said, "classes": [int(p >= 0.5) for p in said]}
        return self._send(200, {"outputs": outputs})

    def _send(self, status: int, content: object) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def server():
    with RestServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.shutdown()


@contextlib.contextmanager
def rpc_server(faults):
    """The official service on the official stubs, answering as the REST one does."""
    import grpc
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request, context):  # noqa: N802
            signatures = get_model_metadata_pb2.SignatureDefMap()
            told = signatures.signature_def["predict_columns"]
            for names, tensors in ((INPUTS, told.inputs), (OUTPUTS, told.outputs)):
                for name, dtype in names.items():
                    tensors[name].dtype = types_pb2.DataType.Value(dtype)
            answer = get_model_metadata_pb2.GetModelMetadataResponse()
            answer.model_spec.version.value = 9
            answer.metadata["signature_def"].Pack(signatures)
            return answer

        def Predict(self, request, context):  # noqa: N802
            if faults:
                context.abort(faults.pop(0), "not now")
            loads = tf.make_ndarray(request.inputs["load"])
            assert loads.dtype == np.float64
            assert tf.make_ndarray(request.inputs["model"]).tolist() == [b"A", b"", b"\xff"]
            said = np.where(np.isnan(loads), 0.5, loads / 10).astype(np.float32)
            answer = predict_pb2.PredictResponse()
            answer.model_spec.version.value = 9
            answer.outputs["probabilities"].CopyFrom(tf.make_tensor_proto(said))
            answer.outputs["classes"].CopyFrom(tf.make_tensor_proto((said >= 0.5).astype(np.int64)))
            return answer

    running = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        running.stop(None)


def test_columns_are_typed_as_the_signature_asks():
    columns = request_columns(ROWS, INPUTS)
    assert columns["load"].tolist()[:1] == [1.5]
    assert columns["load"].dtype == np.float64
    assert np.isnan(columns["load"][1])
    assert columns["load"][2] == float(np.float32(0.1))
    assert columns["model"].tolist() == [b"A", b"", b"\xff"]
    assert columns["grade"].tolist() == [3, MISSING_INTEGER, 5]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"speed": "DT_DOUBLE"}, "asks for column 'speed', which the settings' sources don't give"),
        ({"load": "DT_STRING"}, "asks for DT_STRING in column 'load', and the features hold float"),
        ({"grade": "DT_VARIANT"}, "column 'grade' is of type DT_VARIANT"),
    ],
)
def test_columns_that_do_not_fit_the_model_are_told(inputs, message):
    with pytest.raises(PredictionError, match=message):
        request_columns(ROWS, inputs)


def test_rest_gives_outputs_and_the_version_over_one_connection(server):
    with PredictionClient(server.url, "plant") as client:
        for _ in range(3):
            found = client.predict(ROWS)
    assert found.version == 4
    assert found.outputs["probabilities"].dtype == np.float32
    assert found.outputs["probabilities"].tolist() == [
        np.float32(0.15),
        0.5,
        np.float32(np.float32(0.1) / 10),
    ]
    assert found.outputs["classes"].tolist() == [0, 1, 0]
    assert server.connections == 1
    assert [path for path, _ in server.requests] == [
        "/v1/models/plant/metadata",
        *["/v1/models/plant/versions/4:predict"] * 3,
    ]
    sent = server.requests[1][1]["inputs"]
    assert set(sent) == set(INPUTS)
    assert sent["model"] == ["A", "", {"b64": "/w=="}]


def test_a_label_or_a_version_is_asked_for_by_its_path(server):
    with PredictionClient(server.url, "plant", label="canary") as client:
        assert client.predict(ROWS).version == 4
    with PredictionClient(server.url, "plant", version=4) as client:
        assert client.predict(ROWS).version == 4
    asked = [path for path, body in server.requests if body is None]
    assert asked == [
        "/v1/models/plant/labels/canary/metadata",
        "/v1/models/plant/versions/4/metadata",
    ]


def test_a_version_that_went_is_followed_by_its_successor_with_other_columns(server):
    with PredictionClient(server.url, "plant") as client:
        assert client.predict(ROWS).version == 4
        server.versions = {5: {"load": "DT_DOUBLE"}}
        assert client.predict(ROWS).version == 5


def test_only_unavailable_is_tried_again(server):
    with PredictionClient(server.url, "plant") as client:
        client.signature()
        server.faults = [503, 503]
        assert client.predict(ROWS).version == 4
        assert len(server.requests) == 4
        for status, code in ((429, "RESOURCE_EXHAUSTED"), (504, "DEADLINE_EXCEEDED")):
            server.requests.clear()
            server.faults = [status]
            with pytest.raises(PredictionError, match=f"{code}: not now"):
                client.predict(ROWS)
            assert len(server.requests) == 1
        server.faults = [503] * 9
        server.requests.clear()
        with pytest.raises(PredictionError, match="UNAVAILABLE: not now"):
            client.predict(ROWS)
        assert len(server.requests) == 4


def test_a_refused_request_is_told_as_the_server_words_it(server):
    with (
        PredictionClient(server.url, "plant", version=7) as client,
        pytest.raises(PredictionError, match="NOT_FOUND: no version 7"),
    ):
        client.predict(ROWS)


def test_a_slow_server_is_not_waited_for_beyond_the_timeout(server):
    given_up = threading.Event()
    with PredictionClient(server.url, "plant", timeout=2) as client:
        client.signature()
        server.faults = [given_up]
        with pytest.raises(PredictionError, match="DEADLINE_EXCEEDED"):
            client.predict(ROWS)
        given_up.set()


def test_no_server_is_told_with_its_address():
    port = free_port()
    told = rf"UNAVAILABLE: no answer from 127\.0\.0\.1:{port}"
    with (
        PredictionClient(f"http://127.0.0.1:{port}", "plant", attempts=2) as client,
        pytest.raises(PredictionError, match=told),
    ):
        client.predict(ROWS)
    with pytest.raises(ValueError, match="expected a URL"):
        PredictionClient("127.0.0.1:8501", "plant")


def test_threads_share_a_client(server):
    with PredictionClient(server.url, "plant") as client, futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: client.predict(ROWS).version, range(40)))
    assert found == [4] * 40
    assert server.connections <= 9


def test_grpc_gives_the_same_and_tells_the_version():
    import grpc

    faults = [grpc.StatusCode.UNAVAILABLE]
    with rpc_server(faults) as address, PredictionClient(address, "plant", timeout=20) as client:
        found = client.predict(ROWS)
        assert found.version == 9
        assert found.outputs["probabilities"].tolist()[:2] == [np.float32(0.15), 0.5]
        faults.append(grpc.StatusCode.RESOURCE_EXHAUSTED)
        with pytest.raises(PredictionError, match="RESOURCE_EXHAUSTED: not now"):
            client.predict(ROWS)


def test_rest_needs_neither_tensorflow_nor_grpc():
    code = (
        "import sys, serving.online.client, serving.online.features; "
        "print([m for m in ('tensorflow', 'grpc', 'tfx', 'apache_beam') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=60
    )
    assert run.stdout.strip() == "[]", run.stderr
