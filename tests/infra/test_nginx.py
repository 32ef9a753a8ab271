"""nginx with the configuration of infra/nginx, run for real: weights, reloads and failures."""

import collections
import concurrent.futures
import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.infra.conftest import INFRA
from tests.infra.nginx import ModelServer, Nginx
from tests.infra.rest_client import URL, RestClient
from tests.postgres import wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(120),
]

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SERVICE_CONFIG = (INFRA / "serving/grpc-service-config.json").read_text()
# A client on a small machine may leave answers unread for seconds while it connects anew; how long
# a request takes is not what is asked here.
PATIENCE = 30
STABLE = ("serving-stable-1", "serving-stable-2")
CANARY = "serving-canary-1"


@pytest.fixture
def servers() -> Iterator[dict[str, ModelServer]]:
    with contextlib.ExitStack() as stack:
        started = {}
        for name in (*STABLE, CANARY):
            started[name] = ModelServer(name)
            stack.callback(started[name].kill)
        yield started


@pytest.fixture
def nginx(servers: dict[str, ModelServer]) -> Iterator[Nginx]:
    ports = {name: server.ports for name, server in servers.items()}
    with Nginx({name: ports[name] for name in STABLE}, {CANARY: ports[CANARY]}) as started:
        yield started


@pytest.fixture
def strict_nginx(servers: dict[str, ModelServer]) -> Iterator[Nginx]:
    """With the limits of the configuration as they are."""
    ports = {name: server.ports for name, server in servers.items()}
    stable = {name: ports[name] for name in STABLE}
    with Nginx(stable, {CANARY: ports[CANARY]}, patience=1) as started:
        yield started


@contextlib.contextmanager
def clients(nginx: Nginx, api: str) -> Iterator[Callable[[], Callable[[], str]]]:
    """A maker of clients, each of which sends one prediction and returns who answered."""
    with contextlib.ExitStack() as stack:

        def rest() -> Callable[[], str]:
            client = RestClient(nginx.ports["rest"])
            stack.callback(client.close)

            def predict() -> str:
                status, body, _ = client()
                assert status == 200, (status, body)
                return json.loads(body)["name"]

            return predict

        def over_grpc() -> Callable[[], str]:
            options = [
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.service_config", SERVICE_CONFIG),
            ]
            channel = grpc.insecure_channel(f"127.0.0.1:{nginx.ports['grpc']}", options)
            stack.callback(channel.close)
            call = channel.unary_unary(PREDICT)
            return lambda: call(b"request", timeout=PATIENCE).decode()

        yield rest if api == "rest" else over_grpc


def send(nginx: Nginx, api: str, count: int, threads: int = 8) -> collections.Counter[str]:
    """Sends predictions over some connections; raises where one fails."""
    with clients(nginx, api) as make, concurrent.futures.ThreadPoolExecutor(threads) as pool:

        def some(_: int) -> list[str]:
            client = make()
            return [client() for _ in range(count // threads)]

        return collections.Counter(
            name for names in pool.map(some, range(threads)) for name in names
        )


@contextlib.contextmanager
def load(nginx: Nginx, api: str, threads: int = 8) -> Iterator[list[str]]:
    """Sends predictions all the while; who answered, or what was raised, comes into the list."""
    seen: list[str] = []
    stop = threading.Event()

    def run(client: Callable[[], str]) -> None:
        while not stop.is_set():
            try:
                seen.append(client())
            except Exception as error:
                seen.append(f"failed: {error!r}")

    with clients(nginx, api) as make, concurrent.futures.ThreadPoolExecutor(threads) as pool:
        runs = [pool.submit(run, make()) for _ in range(threads)]
        try:
            yield seen
        finally:
            stop.set()
            for done in runs:
                done.result()


def failures(seen: list[str]) -> set[str]:
    return {name for name in seen if name.startswith("failed")}


def wait_for_more(seen: list[str], count: int = 100) -> None:
    """Until so many more answers have come."""
    wanted = len(seen) + count
    wait_until(lambda: len(seen) >= wanted)


@pytest.mark.parametrize("api", ["rest", "grpc"])
@pytest.mark.parametrize("percent", [10, 50])
def test_shares_are_as_the_weights_say(nginx: Nginx, api: str, percent: int) -> None:
    """Within five standard deviations: one run in two million is outside by chance."""
    nginx.share(percent)
    total = 2000
    seen = send(nginx, api, total)
    share = percent / 100
    assert sum(seen.values()) == total
    assert abs(seen[CANARY] - total * share) < 5 * math.sqrt(total * share * (1 - share))
    low, high = sorted(seen[name] for name in STABLE)
    assert low > 0.35 * (low + high)


@pytest.mark.parametrize("api", ["rest", "grpc"])
def test_no_weight_no_request(nginx: Nginx, api: str) -> None:
    nginx.share(0)
    assert send(nginx, api, 400)[CANARY] == 0
    nginx.share(100)
    assert send(nginx, api, 400) == {CANARY: 400}


@pytest.mark.parametrize("api", ["rest", "grpc"])
def test_one_connection_does_not_stick_to_a_replica(nginx: Nginx, api: str) -> None:
    nginx.share(50)
    assert set(send(nginx, api, 100, threads=1)) == {*STABLE, CANARY}


@pytest.mark.parametrize("api", ["rest", "grpc"])
def test_reloads_under_load_fail_no_request(nginx: Nginx, api: str) -> None:
    with load(nginx, api) as seen:
        for percent in (10, 50, 0, 1, 50):
            wait_for_more(seen)
            nginx.share(percent)
        wait_for_more(seen)
    assert not failures(seen)
    assert CANARY in seen


@pytest.mark.parametrize("api", ["rest", "grpc"])
@pytest.mark.parametrize("victim", [STABLE[0], CANARY])
def test_a_killed_replica_fails_no_prediction(
    nginx: Nginx, servers: dict[str, ModelServer], api: str, victim: str
) -> None:
    """What was under way is repeated: over REST by nginx, over gRPC by the client's policy."""
    nginx.share(50)
    with load(nginx, api) as seen:
        wait_until(lambda: victim in seen)
        servers[victim].kill()
        wait_for_more(seen)
    assert not failures(seen)
    assert victim not in send(nginx, api, 200)


def test_a_full_queue_is_tried_on_another_replica(nginx: Nginx) -> None:
    nginx.share(0)
    client = RestClient(nginx.ports["rest"])
    for _ in range(20):
        status, body, _ = client(f"full {STABLE[0]}")
        assert (status, json.loads(body)["name"]) == (200, STABLE[1])
    client.close()


def test_a_hanging_replica_is_given_up_in_time_and_not_tried_again(strict_nginx: Nginx) -> None:
    client = RestClient(strict_nginx.ports["rest"])
    begin = time.monotonic()
    status, _, _ = client("hang")
    client.close()
    assert status == 504
    assert 0.4 < time.monotonic() - begin < PATIENCE
    assert strict_nginx.last_entry()["upstream_status"] == "504"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("order-17.a", True), ("", False), ('a"b', False), ("x" * 129, False)],
)
def test_request_ids_reach_the_server_the_client_and_the_log(
    nginx: Nginx, sent: str, kept: bool
) -> None:
    client = RestClient(nginx.ports["rest"])
    _, body, headers = client("{}", {"X-Request-ID": sent} if sent else {})
    client.close()
    received = json.loads(body)["headers"]["X-Request-ID"]
    assert received == headers["X-Request-ID"]
    assert (received == sent) is kept
    entry = nginx.last_entry()
    assert entry["request_id"] == received
    assert entry["status"] == 200
    assert entry["path"] == URL
    assert entry["track"] in ("stable", "canary")


def test_grpc_is_logged_with_its_own_status(nginx: Nginx) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{nginx.ports['grpc']}") as channel:
        _, call = channel.unary_unary(PREDICT).with_call(
            b"x", timeout=PATIENCE, metadata=[("x-request-id", "one")]
        )
    assert ("x-request-id", "one") in call.initial_metadata()
    entry = nginx.last_entry()
    assert (entry["request_id"], entry["grpc_status"]) == ("one", "0")


def test_grpc_errors_have_grpcs_codes(strict_nginx: Nginx, servers: dict[str, ModelServer]) -> None:
    def code(method: str, body: bytes = b"x") -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(method)(body, timeout=PATIENCE)
        return raised.value.code(), raised.value.details()

    with grpc.insecure_channel(f"127.0.0.1:{strict_nginx.ports['grpc']}") as channel:
        assert code("/tensorflow.serving.ModelService/HandleReloadConfigRequest") == (
            grpc.StatusCode.UNIMPLEMENTED,
            "this method is not offered here",
        )
        assert code(PREDICT, b"hang") == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "the model server did not answer in time",
        )
        for server in servers.values():
            server.kill()
        assert code(PREDICT) == (grpc.StatusCode.UNAVAILABLE, "no model server answered")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/monitoring/prometheus/metrics", 404),
        ("/v1/models/m", 403),
        ("/v1/models/m:unknown", 403),
        ("/v1/models/m/versions/3:predict", 200),
        ("/v1/models/m/labels/stable:classify", 200),
        ("/healthz", 200),
    ],
)
def test_only_the_models_paths_get_through(nginx: Nginx, path: str, status: int) -> None:
    client = RestClient(nginx.ports["rest"])
    assert client(path=path)[0] == status
    client.close()
