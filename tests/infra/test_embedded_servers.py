"""nginx in front of two embedded servers, started with the files of infra/serving."""

import concurrent.futures
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.infra.conftest import INFRA
from tests.infra.nginx import Nginx
from tests.infra.rest_client import RestClient
from tests.serving.server.served import Served, save_model, serving

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(240),
]

SERVING = INFRA / "serving"
MODEL = "plant-failures"
URL = f"/v1/models/{MODEL}:predict"
VERSIONS = {"stable": 1, "canary": 2}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    """A server each for stable (x/2 + 2) and canary (x/2 + 3)."""
    folder = tmp_path_factory.mktemp("models") / MODEL
    folder.mkdir()
    save_model(folder, 1, 2.0)
    save_model(folder, 2, 3.0)
    with contextlib.ExitStack() as stack:
        started = {}
        for track, version in VERSIONS.items():
            scratch = tmp_path_factory.mktemp(track)
            flags = [
                f"--model_config_file={config(scratch, folder, track, version)}",
                f"--monitoring_config_file={SERVING / 'monitoring.config'}",
                "--enable_batching=true",
                f"--batching_parameters_file={SERVING / 'batching.config'}",
            ]
            started[track] = stack.enter_context(serving(scratch, flags, MODEL))
            warm_up(started[track])
        yield started


def warm_up(server: Served) -> None:
    """The first call is slow; a version that is pushed brings requests for that, these do not."""
    with server.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for _ in range(5):
            stub.Predict(request(), timeout=60)


def config(scratch: Path, folder: Path, track: str, version: int) -> Path:
    """A track's models.config with the test's folder and version in it."""
    text = (SERVING / track / "models.config").read_text()
    for old, new in (
        (f'"/models/{MODEL}"', f'"{folder}"'),
        ("versions: 1", f"versions: {version}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = scratch / "models.config"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def nginx(servers: dict[str, Served]) -> Iterator[Nginx]:
    ports = {track: {"rest": s.rest, "grpc": s.grpc} for track, s in servers.items()}
    stable = {f"serving-stable-{n}": ports["stable"] for n in (1, 2)}
    with Nginx(stable, {"serving-canary-1": ports["canary"]}) as started:
        yield started


def request() -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = MODEL
    message.inputs["x"].dtype = 1
    message.inputs["x"].tensor_shape.dim.add(size=1)
    message.inputs["x"].float_val.append(4.0)
    return message


def answers(nginx: Nginx, api: str, count: int) -> list[float]:
    """Who answered, told by the answer: 4.0 is stable's, 5.0 the canary's."""
    if api == "rest":
        client = RestClient(nginx.ports["rest"])
        seen = []
        for _ in range(count):
            status, body, _ = client(json.dumps({"instances": [4.0]}), path=URL)
            assert status == 200, body
            seen.append(json.loads(body)["predictions"][0])
        client.close()
        return seen
    options = [("grpc.service_config", (SERVING / "grpc-service-config.json").read_text())]
    with grpc.insecure_channel(f"127.0.0.1:{nginx.ports['grpc']}", options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        replies = [stub.Predict(request(), timeout=60) for _ in range(count)]
    for reply in replies:
        assert reply.outputs["y"].float_val[0] == 3.0 + reply.model_spec.version.value
    return [reply.outputs["y"].float_val[0] for reply in replies]


@pytest.mark.parametrize("track", VERSIONS)
@pytest.mark.parametrize("what", ["ready", "alive"])
def test_the_probe_finds_them_ready(
    servers: dict[str, Served], tmp_path: Path, track: str, what: str
) -> None:
    path = config(tmp_path, tmp_path, track, VERSIONS[track])
    command = ["/bin/bash", str(SERVING / "probe.sh"), what, str(path), str(servers[track].rest)]
    assert subprocess.run(command, timeout=60).returncode == 0


def test_the_probe_finds_another_version_not_ready(
    servers: dict[str, Served], tmp_path: Path
) -> None:
    path = config(tmp_path, tmp_path, "stable", 7)
    rest = str(servers["stable"].rest)
    command = ["/bin/bash", str(SERVING / "probe.sh"), "ready", str(path), rest]
    assert subprocess.run(command, timeout=60).returncode == 1


@pytest.mark.parametrize("api", ["rest", "grpc"])
def test_shares_over_both_apis(nginx: Nginx, api: str) -> None:
    nginx.share(25)
    seen = answers(nginx, api, 600)
    assert set(seen) == {4.0, 5.0}
    assert 90 < seen.count(5.0) < 210


@pytest.mark.parametrize("api", ["rest", "grpc"])
def test_reloads_under_load_fail_no_prediction(nginx: Nginx, api: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(answers, nginx, api, 400) for _ in range(4)]
        for percent in (50, 10, 0, 50):
            nginx.share(percent)
            time.sleep(0.2)
        assert sum(len(run.result()) for run in runs) == 1600


def test_a_canary_that_ends_harms_nobody(nginx: Nginx, servers: dict[str, Served]) -> None:
    nginx.share(50)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(answers, nginx, api, 400) for api in ("rest", "grpc") * 2]
        time.sleep(0.3)
        servers["canary"].process.kill()
        seen = [answer for run in runs for answer in run.result()]
    assert len(seen) == 1600
    assert set(answers(nginx, "rest", 100)) == {4.0}
