import asyncio
import json
import signal
import socket
import subprocess
import time

import aiohttp
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.server.tensor_protos import to_proto
from tests import patient
from tests.observability import records
from tests.observability.collector import collecting
from tests.serving.server.served import MODEL, ROOT, command, environment, save_model, serving

PREDICT = f"/v1/models/{MODEL}:predict"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("process") / MODEL
    folder.mkdir()
    save_model(folder)
    extra = folder / "1/assets.extra"
    extra.mkdir()
    (extra / "release.json").write_text(json.dumps({"lineage": {"run_id": "run-7"}}))
    return folder


@pytest.fixture
def flags(folder):
    return [f"--model-name={MODEL}", f"--model-base-path={folder}"]


def fails(*flags: str) -> str:
    ended = subprocess.run(
        command("--port=0", "--rest-api-port=0", *flags),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1, ended.stderr
    return ended.stderr


async def _ask(session: aiohttp.ClientSession, url: str, ended: asyncio.Event) -> list[int]:
    """Asks without a pause until the server takes no more connections."""
    codes = []
    while True:
        try:
            async with session.post(url, json={"instances": [1, 2]}) as answer:
                assert (await answer.json()) == {"predictions": [2.5, 3]}
                codes.append(answer.status)
        except aiohttp.ClientConnectorError:
            assert ended.is_set(), "refused before the end"
            return codes


async def _ask_over_grpc(port: int, ended: asyncio.Event) -> int:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL
    request.inputs["x"].CopyFrom(to_proto(np.array([1, 2], np.float32)))
    count = 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        while True:
            try:
                await stub.Predict(request, timeout=60)
                count += 1
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.UNAVAILABLE, error
                assert "onnect" in error.details(), error
                assert ended.is_set(), "refused before the end"
                return count


def test_a_drain_under_load_fails_no_request(flags, tmp_path):
    async def load(served) -> list:
        ended = asyncio.Event()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            rest = [_ask(session, served.url + PREDICT, ended) for _ in range(8)]
            tasks = asyncio.gather(*rest, *[_ask_over_grpc(served.grpc, ended) for _ in range(2)])
            await asyncio.sleep(1.5)
            ended.set()
            served.process.send_signal(signal.SIGTERM)
            return await asyncio.wait_for(tasks, 60)

    with serving(tmp_path, flags) as served:
        *rest, first, second = asyncio.run(load(served))
        assert served.process.wait(60) == 0
    assert all(set(codes) == {200} for codes in rest)
    assert all(map(len, rest)) and first and second


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well(flags, tmp_path, number):
    with serving(tmp_path, flags) as served:
        idle = socket.create_connection(("127.0.0.1", served.rest))
        begin = time.monotonic()
        served.process.send_signal(number)
        assert served.process.wait(60) == 0
        assert time.monotonic() - begin < 30
        idle.close()
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_health_tells_of_the_drain(flags, tmp_path):
    with serving(tmp_path, flags) as served, served.channel() as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        states = [next(watched).status]
        served.process.send_signal(signal.SIGTERM)
        states.append(next(watched).status)
        watched.cancel()
        assert served.process.wait(60) == 0
    assert states == [1, 2]


def test_it_listens_on_its_own_address_only(flags, tmp_path):
    with serving(tmp_path, flags) as served:
        socket.create_connection(("127.0.0.1", served.rest), timeout=60).close()
        for port in (served.rest, served.grpc):
            # Another address of this machine, which a server on all of them would answer at.
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.2", port), timeout=60)


def test_a_span_for_each_request(flags, tmp_path, monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        with serving(tmp_path, flags) as served:
            asked = {"json": {"instances": [1, 2]}, "headers": {"traceparent": TRACEPARENT}}
            patient.post(served.url + PREDICT, **asked)
            patient.post(f"{served.url}/v1/models/nil:classify", json={"examples": [{}]})
            assert served.end() == 0
        spans = {span["name"]: span for span in collector.spans}
    predict, unknown = spans["REST predict"], spans["REST classify"]
    assert [predict["traceId"], predict["parentSpanId"]] == TRACEPARENT.split("-")[1:3]
    assert predict["attributes"]["run_id"] == "run-7"
    assert predict["attributes"]["model_version"] == "1"
    assert int(predict["endTimeUnixNano"]) > int(predict["startTimeUnixNano"])
    assert unknown["attributes"]["status"] == "NOT_FOUND"
    assert "parentSpanId" not in unknown and "code" not in unknown["status"]
    assert collector.services == {"serving"}


def test_the_access_log(flags, tmp_path):
    log = tmp_path / "access.jsonl"
    with serving(tmp_path, [*flags, f"--access-log={log}"]) as served:
        patient.post(
            served.url + PREDICT,
            json={"instances": [1, 2]},
            headers={"x-request-id": "r-1", "traceparent": TRACEPARENT},
        )
        patient.post(f"{served.url}/v1/models/nil:predict", json={"instances": [1]})
        request = predict_pb2.PredictRequest()
        request.model_spec.name = MODEL
        request.inputs["x"].CopyFrom(to_proto(np.array([1, 2, 3], np.float32)))
        with served.channel() as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            stub.Predict(request, timeout=60, metadata=[("x-request-id", "g-1")])
        assert served.end() == 0
    lines = records.read(log.read_text().splitlines())
    rest, unknown, rpc = (line for line in lines if line["method"] == "predict")
    assert {**rest, "time": "", "seconds": 0} == {
        "time": "",
        "level": "INFO",
        "logger": "serving.access",
        "message": "REST predict OK",
        "run_id": "run-7",
        "trace_id": TRACEPARENT[3:35],
        "api": "REST",
        "method": "predict",
        "model": MODEL,
        "model_version": 1,
        "signature": "serving_default",
        "status": "OK",
        "seconds": 0,
        "rows": 2,
        "request_id": "r-1",
    }
    assert 0 < rest["seconds"] < 10 and rest["time"].endswith("Z")
    assert (unknown["model"], unknown["status"]) == ("nil", "NOT_FOUND")
    assert (rpc["api"], rpc["rows"], rpc["request_id"]) == ("GRPC", 3, "g-1")


def test_what_the_server_says_as_json(flags, tmp_path):
    process = subprocess.Popen(
        command("--port=0", "--rest-api-port=0", "--log-format=json", *flags),
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # What TensorFlow writes past all logging is none of ours.
        line = next(line for line in process.stderr if line.startswith("{"))
        (said,) = records.read([line])
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert said["logger"].startswith("serving.server") and said["level"] == "INFO"


@pytest.mark.parametrize("flag", ["--port", "--rest-api-port"])
def test_a_port_that_is_taken(flags, flag):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = fails(*flags, f"{flag}={port}")
    assert f"cannot listen on 127.0.0.1:{port}" in message
    assert f"choose another port with {flag}" in message
    assert "Traceback" not in message


def test_a_folder_that_is_not_there(tmp_path):
    message = fails(f"--model-base-path={tmp_path / 'nil'}")
    assert str(tmp_path / "nil") in message
    assert "Traceback" not in message


def test_no_model(tmp_path):
    assert "--model-base-path" in fails()


@pytest.mark.parametrize(
    ("flag", "others"),
    [
        ("--model-config-file", ()),
        ("--batching-parameters-file", ("--enable-batching",)),
        ("--monitoring-config-file", ()),
    ],
)
def test_a_file_that_cannot_be_read(flags, tmp_path, flag, others):
    path = tmp_path / "broken.config"
    for text in (None, "no_such_field: 1"):
        if text is not None:
            path.write_text(text)
        message = fails(*flags, *others, f"{flag}={path}")
        assert str(path) in message
        assert "Traceback" not in message
