"""What is kept of requests: all kinds, nothing that was to be dropped, and never at their cost."""

import os
import threading
import time
import urllib.parse

import numpy as np
import prometheus_client
import pytest
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from components.ingest.tfrecord import read_records
from serving.server import sampling
from serving.server.exchange import Entry, Exchange
from serving.server.sampling import SUFFIX, Sampler, Sampling, sweep
from serving.server.tensor_protos import to_array, to_proto
from tests import patient
from tests.serving.server.served import MODEL, save_model, serving

TOLD = {"x-request-id": "r1", "x-observation": "machine_id=17&observed_at=2025-04-17T06:00:00Z"}


def logs(folder) -> list[prediction_log_pb2.PredictionLog]:
    """What the files hold, in the order in which it was asked."""
    files = sorted(map(str, folder.rglob(f"*{SUFFIX}")))
    return [prediction_log_pb2.PredictionLog.FromString(text) for text in read_records(files)]


def example(**features) -> example_pb2.Example:
    made = example_pb2.Example()
    for name, value in features.items():
        if isinstance(value, bytes):
            made.features.feature[name].bytes_list.value.append(value)
        else:
            made.features.feature[name].float_list.value.append(value)
    return made


def made(tmp_path, rate=1.0, per_second=1e9, days=1.0, megabytes=1.0, drop=()):
    return Sampling(str(tmp_path), rate, per_second, days, megabytes, frozenset(drop))


def entry(rows=1, inputs=None, **told) -> Entry:
    asked = {"x": np.arange(rows, dtype=np.float32)} if inputs is None else inputs
    answered = {"y": np.ones(rows, np.float32)}
    exchange = Exchange(asked, answered)
    return Entry("REST", "predict", "half", 3, rows=rows, exchange=exchange, **told)


def counted(registry) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "serving_sampled_requests_total"
    }


def test_every_kind_of_request_is_kept_without_what_is_dropped(tmp_path) -> None:
    base, kept = tmp_path / "models" / MODEL, tmp_path / "kept"
    base.mkdir(parents=True)
    save_model(base)
    flags = [f"--model_name={MODEL}", f"--model_base_path={base}", "--sample_rate=1"]
    flags += [f"--sample_directory={kept}", "--sample_drop=email, machine_id"]
    row = example(x=0.25, email=b"me@home")
    headers = [*TOLD.items()]
    with serving(tmp_path, flags) as served, served.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        asked = predict_pb2.PredictRequest()
        asked.model_spec.name = MODEL
        asked.inputs["x"].CopyFrom(to_proto(np.array([1, 2], np.float32)))
        answer = stub.Predict(asked, metadata=headers)
        for message, signature, ask in (
            (classification_pb2.ClassificationRequest(), "classify", stub.Classify),
            (regression_pb2.RegressionRequest(), "regress", stub.Regress),
        ):
            message.model_spec.name, message.model_spec.signature_name = MODEL, signature
            message.input.example_list.examples.append(row)
            ask(message, metadata=headers)
        url = f"{served.url}/v1/models/{MODEL}"
        body = {"signature_name": "regress", "examples": [{"x": 0.5, "email": "me@home"}]}
        assert patient.post(f"{url}:regress", json=body, headers=TOLD).status_code == 200
        body = {"instances": [3.0, 4.0]}
        assert patient.post(f"{url}/versions/1:predict", json=body, headers=TOLD).status_code == 200
        assert patient.post(f"{url}:predict", json={"instances": ["no"]}).status_code == 400
        metrics = patient.get(f"{served.url}/monitoring/prometheus/metrics").text
        assert "# TYPE serving_sampled_requests_total counter" in metrics
        assert served.end() == 0  # what is queued is written
    assert (kept.stat().st_mode & 0o777) == 0o700
    assert {path.parent.name for path in kept.rglob(f"*{SUFFIX}")} == {"1"}
    found = logs(kept)
    assert [log.WhichOneof("log_type") for log in found] == [
        "predict_log",
        "classify_log",
        "regress_log",
        "regress_log",
        "predict_log",
    ]
    for log in found:
        about = log.log_metadata
        assert (about.model_spec.name, about.model_spec.version.value) == (MODEL, 1)
        assert abs(about.timestamp_secs - time.time()) < 600
        origin = urllib.parse.parse_qs(about.request_origin)
        assert origin == {"request_id": ["r1"], "observed_at": ["2025-04-17T06:00:00Z"]}
        assert b"me@home" not in log.SerializeToString()
    first = found[0].predict_log
    assert first.request.inputs["x"] == asked.inputs["x"]
    assert first.response.outputs["y"] == answer.outputs["y"]
    assert found[1].classify_log.response.result.classifications[0].classes[0].score == 0.25
    assert found[3].regress_log.response.result.regressions[0].value == 1.0
    assert to_array("y", found[4].predict_log.response.outputs["y"]).tolist() == [3.5, 4.0]


def test_serialized_examples_lose_the_column_or_are_not_kept(tmp_path) -> None:
    registry = prometheus_client.CollectorRegistry()
    sampler = Sampler(made(tmp_path, drop=["email"]), registry)
    good = np.array([example(x=1.0, email=b"me@home").SerializeToString()], object)
    sampler.offer(0.0, entry(inputs={"examples": good}))
    sampler.offer(0.0, entry(inputs={"examples": np.array([b"\xff no example"], object)}))
    sampler.close()
    (log,) = logs(tmp_path)
    (text,) = log.predict_log.request.inputs["examples"].string_val
    assert example_pb2.Example.FromString(text) == example(x=1.0)
    assert counted(registry) == {"kept": 1, "unreadable": 1}


def test_a_disk_that_stands_still_costs_samples_and_no_request(tmp_path, monkeypatch) -> None:
    registry = prometheus_client.CollectorRegistry()
    goes_on, encode = threading.Event(), sampling.encode

    def stuck(*given):
        assert goes_on.wait(60)
        return encode(*given)

    monkeypatch.setattr(sampling, "encode", stuck)
    sampler = Sampler(made(tmp_path), registry)
    for _ in range(1_100):
        sampler.offer(0.0, entry())
    full = counted(registry)["queue_full"]
    assert 99 <= full <= 100  # the thread may hold one
    large = {"x": np.zeros(9 << 20, np.float32)}
    sampler.offer(0.0, entry(inputs=large))  # beyond the bytes that may wait
    assert counted(registry)["queue_full"] == full + 1
    goes_on.set()
    sampler.close()
    assert counted(registry)["kept"] == 1_100 - full == len(logs(tmp_path))


def test_a_disk_that_is_full_is_told_and_forgotten(tmp_path, monkeypatch) -> None:
    registry = prometheus_client.CollectorRegistry()

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "RecordWriter", full)
        sampler = Sampler(made(tmp_path), registry)
        sampler.offer(0.0, entry())
        sampler.close()
    assert counted(registry) == {"write_failed": 1}
    assert not logs(tmp_path)


def test_no_more_examples_a_second_than_said(tmp_path) -> None:
    registry = prometheus_client.CollectorRegistry()
    sampler = Sampler(made(tmp_path, per_second=10), registry)
    for tick in range(100):  # ten seconds, 100 examples each
        sampler.offer(1_000 + tick / 10, entry(rows=10))
    sampler.offer(2_000, entry(rows=500))  # taken whole, and paid off
    sampler.offer(2_001, entry())
    sampler.close()
    rows = [len(to_array("x", log.predict_log.request.inputs["x"])) for log in logs(tmp_path)]
    assert rows.count(500) == 1 and rows.count(1) == 0
    assert 90 <= sum(rows) - 500 <= 120


def test_failures_and_what_is_not_drawn_are_not_kept(tmp_path) -> None:
    registry = prometheus_client.CollectorRegistry()
    sampler = Sampler(made(tmp_path, rate=0.5), registry)
    for _ in range(400):
        sampler.offer(0.0, entry())
    failed = entry(status="INTERNAL")
    sampler.offer(0.0, failed)
    sampler.close()
    assert failed.exchange is None  # nothing holds the arrays any longer
    assert 120 < len(logs(tmp_path)) < 280  # eight standard deviations
    rates = {log.log_metadata.sampling_config.sampling_rate for log in logs(tmp_path)}
    assert rates == {0.5}


def test_old_files_go_first(tmp_path) -> None:
    now = time.time()
    ages = {"a": 3 * 86_400, "b": 3_600, "c": 60, "d": 0}
    for name, age in ages.items():
        path = tmp_path / "half" / "1" / f"{name}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 400_000)
        os.utime(path, (now - age, now - age))
    for name, age in (("left", 86_400), ("writing", 1)):
        path = tmp_path / "half" / "1" / f".{name}{SUFFIX}.0"
        path.touch()
        os.utime(path, (now - age, now - age))
    sweep(tmp_path, made(tmp_path, days=2, megabytes=1), now)
    there = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert there == [f".writing{SUFFIX}.0", f"c{SUFFIX}", f"d{SUFFIX}"]


@pytest.mark.parametrize("close", [True, False])
def test_a_file_is_whole_or_not_there(tmp_path, close: bool) -> None:
    sampler = Sampler(made(tmp_path), prometheus_client.CollectorRegistry(), file_seconds=0.05)
    sampler.offer(0.0, entry())
    if close:
        sampler.close()
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob(f"*{SUFFIX}")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(logs(tmp_path)) == 1
    if not close:
        sampler.close()
