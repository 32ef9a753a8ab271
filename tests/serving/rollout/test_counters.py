"""Metrics are read as servers write them: real text, restarts, what is missing."""

import http.server
import json
import math
import threading
import urllib.parse

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rollout.counters import MetricsError, Names, Series, added, collect, tally
from serving.rollout.sources import (
    TENSORFLOW_SERVING,
    Page,
    Prometheus,
    not_loaded,
    page_samples,
)
from serving.rollout.tally import Tally

# As TensorFlow Serving writes its page, with the version that a scrape's relabelling adds.
TFS = """\
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="plant",status="OK",version="3"} 990
:tensorflow:serving:request_count{model_name="plant",status="INTERNAL",version="3"} 6
:tensorflow:serving:request_count{model_name="plant",status="INVALID_ARGUMENT",version="3"} 4
:tensorflow:serving:request_count{model_name="other",status="OK",version="3"} 7
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="plant",version="3",le="37481.3"} 980
:tensorflow:serving:request_latency_bucket{model_name="plant",version="3",le="67466.4"} 989
:tensorflow:serving:request_latency_bucket{model_name="plant",version="3",le="+Inf"} 990
:tensorflow:serving:request_latency_sum{model_name="plant",version="3"} 4.95e+06
:tensorflow:serving:request_latency_count{model_name="plant",version="3"} 990
# TYPE unrelated gauge
unrelated NaN
"""


def read(text: str, names: Names = TENSORFLOW_SERVING, model: str = "plant"):
    return collect(page_samples(text), names, model)


def test_tensorflow_servings_page():
    counted = tally(read(TFS), 3)
    assert (counted.requests, counted.errors, counted.client_errors) == (1000, 10, 4)
    assert counted.fault_share == 0.006
    assert counted.mean_ms == pytest.approx(5.0)
    assert counted.quantile_ms(0.99) == pytest.approx(67.4664)
    assert counted.quantile_ms(0.98) == pytest.approx(37.4813)
    assert math.isinf(counted.quantile_ms(1.0))


def test_the_page_of_the_official_client():
    registry = prometheus_client.CollectorRegistry()
    latency = prometheus_client.Histogram(
        "seconds", "s", ["model", "version", "status"], buckets=(0.05, 0.1), registry=registry
    )
    for status, seconds, times in (("OK", 0.02, 95), ("OK", 0.07, 5), ("INTERNAL", 0.0001, 50)):
        for _ in range(times):
            latency.labels("plant", "12", status).observe(seconds)
    names = Names("seconds_count", "seconds", model="model")

    counted = tally(read(prometheus_client.generate_latest(registry).decode(), names), 12)

    assert (counted.requests, counted.errors, counted.measured) == (150, 50, 100)
    assert counted.quantile_ms(0.95) == 50
    assert counted.quantile_ms(0.99) == 100


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no :tensorflow:serving:request_count of plant"),
        (TFS.replace('"plant"', '"another"'), "no :tensorflow:serving:request_count of plant"),
        (TFS.replace("request_latency", "other_latency"), "no :tensorflow:serving:request_latency"),
        (TFS.replace(',version="3"', ""), "with a label version"),
        (TFS.replace(" 990\n", " NaN\n"), "is nan"),
        (TFS.replace(" 990\n", " -1\n"), "is -1"),
        (TFS.replace(" 990\n", " +Inf\n"), "is inf"),
        (TFS.replace('le="+Inf"', 'le="slow"'), "le='slow'"),
        (TFS.replace('le="+Inf"', 'le="NaN"'), "le='NaN'"),
        (TFS + "}{ 4", "not a page"),
        (TFS + "half_a_line{a=", "not a page"),
        ("<!doctype html><html></html>", "not a page|no :tensorflow"),
    ],
)
def test_what_says_nothing_is_missing(text, told):
    with pytest.raises(MetricsError, match=told):
        read(text)


def series(instance="", version=3, kind="requests", detail="OK") -> Series:
    return Series(instance, version, kind, detail)


def test_a_server_that_restarted_counts_from_zero_and_others_go_on():
    earlier = {series("a"): 100.0, series("a", detail="INTERNAL"): 5.0, series("b"): 50.0}
    later = {series("a"): 7.0, series("a", detail="INTERNAL"): 5.0, series("b"): 60.0}
    new = added(earlier, later)
    assert new == {series("a"): 7.0, series("a", detail="INTERNAL"): 5.0, series("b"): 10.0}


def test_a_server_or_a_version_that_is_new_counts_wholly():
    assert added({series("a"): 4.0}, {series("a"): 4.0, series("b"): 3.0}) == {
        series("a"): 0.0,
        series("b"): 3.0,
    }


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=5), min_size=1, max_size=5))
def test_nothing_is_counted_twice_over_restarts_that_are_seen(lives):
    """Each life of the server is read after each of its increments; the first value is a base."""
    total, last, counted = 0, None, 0.0
    for life in lives:
        value = 0
        for number in life:
            value += number
            now = {series(): float(value)}
            if last is not None:
                counted += added(last, now)[series()]
            last = now
        total += value
    first = lives[0][0]
    assert counted <= total - first
    if all(life[0] == 0 for life in lives[1:]):
        assert counted == total - first


@given(
    st.lists(st.floats(0.0001, 2.0), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_a_quantile_by_upper_edges_is_never_less_than_the_truth(latencies, share):
    edges = (0.01, 0.05, 0.1, 0.5, math.inf)
    buckets = {edge: float(sum(x <= edge for x in latencies)) for edge in edges}
    told = Tally(len(latencies), buckets=buckets).quantile_ms(share)
    truth = sorted(latencies)[math.ceil(share * len(latencies)) - 1] * 1000
    assert told >= truth - 1e-9
    below = [edge * 1000 for edge in edges if edge * 1000 < told]
    assert truth > max(below, default=0) - 1e-9


def test_sums_and_json():
    one = Tally(10, 2, 1, 0, 0.5, {0.05: 7.0, math.inf: 8.0})
    other = Tally(5, 0, 0, 1, 0.1, {0.05: 5.0, math.inf: 5.0})
    both = one.plus(other)
    assert both == Tally(15, 2, 1, 1, 0.6, {0.05: 12.0, math.inf: 13.0})
    assert Tally().plus(one) == one.plus(Tally()) == one
    assert Tally.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert Tally().numbers() == {"requests": 0, "errors": 0}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        self.server.asked.append(urllib.parse.parse_qs(parts.query))
        status, body = self.server.answers[parts.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.answers, server.asked = {}, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_prometheus_http_api(server):
    """The answer as Prometheus' documentation shows an instant vector."""
    result = []
    for pod, factor in (("10.0.0.1:8501", 1), ("10.0.0.2:8501", 2)):
        for name, labels, value in page_samples(TFS):
            if labels.get("model_name") == "plant":
                metric = {"__name__": name, "instance": pod, **labels}
                result.append({"metric": metric, "value": [1700000000.1, str(value * factor)]})
    answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
    server.answers["/api/v1/query"] = (200, json.dumps(answer).encode())

    source = Prometheus(server.url, TENSORFLOW_SERVING, 'plant"s', 'namespace="prod"')
    with pytest.raises(MetricsError, match="of plant"):
        source.read()
    (query,) = server.asked[0]["query"]
    assert query.startswith('{__name__=~":tensorflow:serving:request_count|')
    assert query.endswith(',model_name="plant\\"s",namespace="prod"}')

    counted = tally(Prometheus(server.url, TENSORFLOW_SERVING, "plant").read(), 3)
    assert (counted.requests, counted.errors) == (3000, 30)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"status": "error", "error": "bad"}'),
        (200, b'{"data": {"result": [{"metric": {}, "value": []}]}}'),
        (503, b"starting"),
        (200, b""),
    ],
)
def test_a_prometheus_that_gives_no_answer(server, status, body):
    server.answers["/api/v1/query"] = (status, body)
    with pytest.raises(MetricsError):
        Prometheus(server.url, TENSORFLOW_SERVING, "plant").read()


def test_a_page_that_is_away(server):
    for url in ("http://127.0.0.1:1/metrics", "file:///etc/passwd", "nonsense"):
        with pytest.raises(MetricsError, match=r"cannot be read|no http"):
            Page(url, TENSORFLOW_SERVING, "plant", timeout=1).read()


def test_why_a_version_is_not_loaded(server):
    def answer(state, version="3", **more):
        body = json.dumps({"model_version_status": [{"version": version, "state": state, **more}]})
        server.answers["/v1/models/plant/versions/3"] = (200, body.encode())
        return not_loaded(server.url, "plant", 3)

    assert answer("AVAILABLE") == ""
    assert answer("LOADING") == "LOADING"
    assert answer("END", status={"error_message": "no graph in it"}) == "END: no graph in it"
    assert "does not tell" in answer("AVAILABLE", "4")
    server.answers["/v1/models/plant/versions/3"] = (404, b'{"error": "no such version"}')
    assert "404" in not_loaded(server.url, "plant", 3)
    assert "cannot be read" in not_loaded("http://127.0.0.1:1", "plant", 3)
