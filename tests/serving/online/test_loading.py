"""A model that the server is loading is waited for; one that is not there is told."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from concurrent import futures

import pytest

from serving.online.client import PredictionClient
from serving.online.errors import PredictionError

Turn = tuple[str, str] | None
"""The state and the error of version 3; None where the server knows of no version."""


@contextlib.contextmanager
def rest_server(turns: list[Turn]) -> Iterator[str]:
    """Tells one turn after another when asked for the status; then the model is there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            content: object = None
            if not self.path.endswith("/metadata"):
                turn = turns.pop(0)
                if turn is not None:
                    status = {"error_code": "OK", "error_message": turn[1]}
                    state = {"version": "3", "state": turn[0], "status": status}
                    content = {"model_version_status": [state]}
            elif not turns:
                told = {"predict_columns": {"inputs": {}, "outputs": {}}}
                content = {
                    "model_spec": {"version": "3"},
                    "metadata": {"signature_def": {"signature_def": told}},
                }
            text = json.dumps(content or {"error": "Servable not found"}).encode()
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def rpc_server(turns: list[Turn]) -> Iterator[str]:
    """As ``rest_server``."""
    import grpc
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        prediction_service_pb2_grpc,
    )

    class Service(
        prediction_service_pb2_grpc.PredictionServiceServicer,
        model_service_pb2_grpc.ModelServiceServicer,
    ):
        def GetModelMetadata(self, request, context):  # noqa: N802
            if turns:
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
            signatures = get_model_metadata_pb2.SignatureDefMap()
            signatures.signature_def["predict_columns"].SetInParent()
            answer = get_model_metadata_pb2.GetModelMetadataResponse()
            answer.metadata["signature_def"].Pack(signatures)
            return answer

        def GetModelStatus(self, request, context):  # noqa: N802
            turn = turns.pop(0)
            if turn is None:
                context.abort(grpc.StatusCode.NOT_FOUND, "Could not find any versions")
            answer = get_model_status_pb2.GetModelStatusResponse()
            one = answer.model_version_status.add(version=3)
            one.state = get_model_status_pb2.ModelVersionStatus.State.Value(turn[0])
            one.status.error_message = turn[1]
            return answer

    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(None)


@pytest.fixture(params=[rest_server, rpc_server])
def serve(request):
    return request.param


def wait(serve, turns: list[Turn], seconds: float = 60.0) -> list[str]:
    """The lines that were told."""
    told: list[str] = []
    with serve(turns) as url, PredictionClient(url, "plant", timeout=30.0) as client:
        client.wait_until_loaded(seconds, told.append)
    assert not turns
    return told


def test_a_model_that_answers_is_not_waited_for(serve):
    assert wait(serve, []) == []


def test_a_model_that_is_being_loaded_is_waited_for(serve):
    told = wait(serve, [("START", ""), ("LOADING", ""), ("LOADING", "no disk")])
    assert told == ["the server is loading version 3 of plant: waiting 60 s at most"]


@pytest.mark.parametrize(
    ("turn", "seconds", "message"),
    [
        (None, 60.0, "NOT_FOUND: the server has no model plant, nor is it loading one"),
        (
            ("END", "no saved_model.pb"),
            60.0,
            "NOT_FOUND: version 3 of plant could not be loaded: no saved_model.pb",
        ),
        (("END", ""), 60.0, "NOT_FOUND: the server has no model plant"),
        (
            ("LOADING", "no disk"),
            0.0,
            "DEADLINE_EXCEEDED: the server is loading version 3 of plant again, which failed: "
            "no disk, still after 0 s",
        ),
    ],
)
def test_what_does_not_come_is_told(serve, turn, seconds, message):
    with pytest.raises(PredictionError, match=message):
        wait(serve, [turn], seconds)
