import asyncio

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from serving.releases.traffic import Traffic
from serving.server.core import Target
from serving.server.metrics import Metrics
from tests.serving.server.conftest import MODEL, running, until


def lines(metrics):
    text = metrics.exposition().decode()
    for _ in text_string_to_metric_families(text):
        pass
    return text.splitlines()


def test_names_labels_and_edges():
    metrics = Metrics()
    metrics.models = {"m"}
    metrics.observe_request("m", 3, "OK", 0.05, "REST")
    metrics.observe_request("m", 3, "INTERNAL", 5.0, "GRPC")
    found = lines(metrics)
    assert "# TYPE :tensorflow:serving:request_count counter" in found
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in found
    assert ':tensorflow:serving:request_count{model_name="m",status="INTERNAL"} 1' in found
    latency = ':tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",'
    latency += 'entrypoint="REST",le='
    assert f'{latency}"37481.3"}} 0' in found
    assert f'{latency}"67466.4"}} 1' in found
    assert f'{latency}"121440"}} 1' in found
    assert f'{latency}"+Inf"}} 1' in found
    assert sum(line.startswith(latency) for line in found) == 34
    assert not any("request_latency_bucket" in line and "GRPC" in line for line in found)
    ours = (
        'serving_request_seconds_bucket{api="REST",le="%s",model_name="m",status="OK",version="3"}'
    )
    assert f"{ours % '0.025'} 0.0" in found
    assert f"{ours % '0.05'} 1.0" in found
    assert f"{ours % '0.1'} 1.0" in found


def test_names_that_clients_make_up_take_no_room():
    metrics = Metrics()
    metrics.models = {"m"}
    for number in range(50):
        metrics.observe_request(f"nil-{number}", None, "NOT_FOUND", 0.1, "REST")
        metrics.observe_request("m", 1000 + number, "NOT_FOUND", 0.1, "REST")
    found = lines(metrics)
    assert ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 50' in found
    assert len(found) < 120


def test_a_core_counts(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            for value in (1.0, -np.inf):
                await core.predict(Target(MODEL), {"x": np.array([value], np.float32)})
            return lines(core.metrics)

    found = asyncio.run(run())
    assert ':tensorflow:serving:runtime_latency_count{model_name="half",API="Predict",' in (
        "\n".join(found)
    )
    queuing = ":tensorflow:serving:batching_session:queuing_latency_count"
    assert f'{queuing}{{thread_pool_name="adaptive"}} 2' in found
    assert 'serving_invalid_answers_total{model_name="half",version="1"} 1.0' in found
    assert 'serving_version_state{model_name="half",state="AVAILABLE",version="1"} 1.0' in found


def test_the_canary_shows_beside_the_stable_version(save, tmp_path):
    async def run():
        for version in (1, 2, 3):
            save(tmp_path, version)
        split = Traffic(stable=1, canary=2, percent=25)
        async with running(tmp_path, traffic=lambda _: split, served=lambda _: [1, 3]) as core:
            await until(lambda: len(core.status(MODEL)) == 3)
            await core.predict(Target(MODEL), {"x": np.ones(1, np.float32)})
            return lines(core.metrics)

    found = asyncio.run(run())
    for version, track in (("1", "stable"), ("2", "canary"), ("3", "other")):
        name = f'serving_version_track{{model_name="half",track="{track}",version="{version}"}}'
        assert f"{name} 1.0" in found
    assert 'serving_traffic_ratio{model_name="half",version="1"} 0.75' in found
    assert 'serving_traffic_ratio{model_name="half",version="2"} 0.25' in found


def test_what_waits_shows_beside_what_may(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            inputs = {"x": np.ones(4, np.float32)}
            asked = asyncio.create_task(core.predict(Target(MODEL), inputs))
            await asyncio.sleep(0)  # it is put into the queue; the next turn takes it out
            waiting = lines(core.metrics)
            await asked
            return waiting, lines(core.metrics)

    waiting, answered = asyncio.run(run())
    queue = '{model_name="half",signature="serving_default",version="1"}'
    assert f"serving_queue_rows{queue} 4.0" in waiting
    assert f"serving_queue_rows{queue} 0.0" in answered
    assert f"serving_queue_capacity_rows{queue} 4096.0" in answered
