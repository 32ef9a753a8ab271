"""The shipped files in the real programs: dashboards that answer, and alerts that arrive.

Served is a real server under a little load; what runs tell is pipeline.prom, which a run of the
demo wrote: tests/end_to_end/test_main_job.py sees to it that runs still write the same metrics.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import canaries, trial
from pipeline.collect.collector import Collector
from pipeline.collect.metrics import Metrics
from pipeline.metrics import publish, stages
from pipeline.metrics.scheme import Sample, registry
from serving.load.grpc import GrpcSender
from serving.load.measure import at_rate
from serving.releases import Releases
from tests.infra.monitoring.stack import MONITORING, Stack
from tests.infra.monitoring.test_files import table
from tests.pipeline.collect.conftest import ListBroker, reading, sensor_source, stream
from tests.ports import free_port
from tests.postgres import wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
EMPTY = {
    "training_gpu_memory_peak_bytes": "there is no GPU here",
    "pipeline_drift": "python -m pipeline monitor writes it",
}
FINDING = {"kind": "schema", "passes": None}


@contextlib.contextmanager
def load(address: str) -> Iterator[None]:
    """Sends 40 requests a second, over gRPC, for as long as the block runs, an hour at most."""
    loop = asyncio.new_event_loop()

    async def run() -> None:
        sender = GrpcSender(address, trial._requests(canaries.rows(50)))
        await at_rate(sender, 40, 3600)

    def work() -> None:
        asyncio.set_event_loop(loop)
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    task = loop.create_task(run())
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


@contextlib.contextmanager
def collecting(folder: Path) -> Iterator[str]:
    """A collector that lands and rejects, a message each 50 ms; yields where its metrics are."""
    address = f"127.0.0.1:{free_port()}"
    told = stream(metrics=address, flush={"every": "1us"})
    broker = ListBroker([reading(0), b"{cut off"] * 10_000, 1, lambda _: time.sleep(0.05))
    metrics = Metrics("plant", "telemetry")
    metrics.connected.set(1)
    metrics.lag({("t", 0): 7})
    server, _ = metrics.serve(told)
    stop = threading.Event()
    collector = Collector("telemetry", sensor_source(), told, broker, folder, metrics)
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    try:
        yield address
    finally:
        stop.set()
        thread.join()
        server.shutdown()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: canaries.save(folder / kind, kind, 1) for kind in ("stable", "failing")}


@pytest.fixture(scope="module")
def monitored(
    models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Releases]]:
    """A server with one version under load, a pipeline that ran well, a collector, who watches."""
    folder = tmp_path_factory.mktemp("monitored")
    with (
        trial.serving(folder, folder, models["stable"]) as (served, releases),
        collecting(folder / "collected") as collector,
    ):
        stack = Stack(folder, served.rest_port, collector)
        shutil.copy(HERE / "pipeline.prom", stack.textfiles)
        with stack.running(), load(served.grpc):
            yield stack, releases


def queries() -> dict[str, str]:
    """Every query of the dashboards, the variables filled in, by where it stands."""
    found = {}
    for path in (MONITORING / "grafana/dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                where = f"{path.stem}, {panel['title']}, {target['refId']}"
                found[where] = target["expr"].replace("$model", ".+").replace("$pipeline", ".+")
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                values = variable["query"]["query"]
                metric = values.removeprefix("label_values(").partition(",")[0]
                found[f"{path.stem}, ${variable['name']}"] = metric
    return found


def test_every_query_of_the_dashboards_answers(monitored: tuple[Stack, Releases]) -> None:
    stack, _ = monitored
    asked = queries()
    assert len(asked) > 35

    def silent() -> list[str]:
        return [
            where
            for where, expr in asked.items()
            if not any(name in expr for name in EMPTY)
            and not any(value["value"][1] != "NaN" for value in stack.query(expr))
        ]

    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not silent(), 60)
    assert silent() == []
    for where, expr in asked.items():
        if any(name in expr for name in EMPTY):
            assert stack.query(expr) == [], where  # it is PromQL; what it asks for is not there yet


def test_the_table_of_the_servers_metrics_is_what_it_tells(
    monitored: tuple[Stack, Releases],
) -> None:
    stack, _ = monitored
    told: dict[str, set[str]] = {}
    for series in stack.query('{__name__=~"serving_.+",__name__!~".+_(created|bucket|sum)"}'):
        labels = series["metric"]
        name = labels.pop("__name__").removesuffix("_count")
        told[name] = set(labels) - {"job", "instance"}
    known = {name: set(labels.split(", ")) for name, labels, _ in table("### The embedded server")}
    # No answer was NaN, and this server keeps no samples.
    assert known.keys() - told.keys() == {
        "serving_invalid_answers_total",
        "serving_sampled_requests_total",
    }
    # The model has one output of one class: Prometheus drops a label that is empty.
    told["serving_answer_values_total"].add("class")
    assert told == {name: known.get(name) for name in told}


def test_a_failing_canary_is_told_and_its_end_too(
    monitored: tuple[Stack, Releases], models: dict[str, Path]
) -> None:
    stack, releases = monitored
    receiver = stack.receiver
    assert "CanaryFailsMore" not in receiver.alerts("/page")
    number = releases.push(models["failing"], {}, keep=9, why="a trial", rollout="canary").version
    releases.advance(number, 0, "loaded", "test", {})
    releases.advance(number, 50, "half of the traffic", "test", {})

    wait_until(lambda: "CanaryFailsMore" in receiver.alerts("/page"), 90)
    alert = receiver.alerts("/page")["CanaryFailsMore"]
    assert (alert["labels"]["track"], alert["labels"]["model_name"]) == ("canary", trial.MODEL)
    assert "of the canary's requests fail" in alert["annotations"]["summary"]
    for told in alert["annotations"].values():
        assert "<error" not in told and "<no value>" not in told
    releases.rollback("its requests fail")
    wait_until(lambda: "CanaryFailsMore" in receiver.alerts("/page", "resolved"), 90)


def test_a_run_that_anomalies_stopped_is_one_ticket(monitored: tuple[Stack, Releases]) -> None:
    stack, _ = monitored
    samples = [
        Sample("pipeline_run_success", 0),
        Sample("pipeline_run_end_timestamp_seconds", time.time()),
        Sample("pipeline_stage_state", 1, {"stage": "AnomalyGate", "state": "failed"}),
        *stages.of_anomalies({"findings": [FINDING, FINDING], "stops": True}),
    ]
    key = {"pipeline": "broken"}
    assert publish.push(stack.pushgateway, registry("broken", samples), key, 10) == []

    wait_until(lambda: "PipelineDataAnomalies" in stack.receiver.alerts("/ticket"), 60)
    alert = stack.receiver.alerts("/ticket")["PipelineDataAnomalies"]
    assert alert["labels"]["pipeline"] == "broken"  # its own labels, not the scrape's
    assert alert["annotations"]["summary"].startswith("broken: 2 anomalies (schema)")
    # That the run failed says nothing more.
    wait_until(lambda: "PipelineRunFailed" in stack.inhibited(), 30)
    assert "PipelineRunFailed" not in stack.receiver.alerts("/ticket")


@pytest.mark.parametrize("path", sorted((HERE / "rules").iterdir()), ids=lambda p: p.stem)
def test_rules(path: Path) -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["promtool", "check", "config", "prometheus.yml"],
        ["amtool", "check-config", "alertmanager.yml"],
    ],
    ids=" ".join,
)
def test_configurations(command: list[str]) -> None:
    done = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
