import pytest

from observability import spans
from observability.trace import trace_of_run
from pipeline.local.events import Event
from pipeline.local.run_spans import RunSpans, task_span
from tests.observability.collector import collecting

ERROR = 2


@pytest.fixture
def collector(monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


def stage(node, state, text=""):
    return Event("stage", node=node, state=state, text=text)


def test_a_run_and_its_stages_are_one_trace(collector):
    run = RunSpans("plant", "run-1")
    run.apply(Event("plan", nodes=["Join", "Trainer", "Evaluator"]))
    for event in (
        stage("Join", "cached", "5 rows"),
        stage("Trainer", "running"),
        stage("Trainer", "failed", "no GPU"),
        stage("Evaluator", "skipped"),
    ):
        run.apply(event)
    run.end("failed")

    assert {span["name"] for span in collector.spans} == {"run", "Join", "Trainer"}
    assert {span["traceId"] for span in collector.spans} == {trace_of_run("run-1")}
    assert {collector[name]["parentSpanId"] for name in ("Join", "Trainer")} == {
        collector["run"]["spanId"]
    }
    assert collector["Join"]["attributes"] == {"state": "cached", "outcome": "5 rows"}
    assert collector["Trainer"]["status"] == {"code": ERROR, "message": "no GPU"}
    assert collector["run"]["attributes"] == {"run_id": "run-1", "state": "failed"}
    assert collector.services == {"plant"}


def test_what_is_running_when_a_run_is_stopped_has_a_span(collector):
    run = RunSpans("plant", "run-2")
    run.apply(stage("Trainer", "running"))
    run.end("stopped")
    assert collector["Trainer"]["attributes"]["state"] == "stopped"


def test_a_task_of_its_own_is_of_its_runs_trace(collector):
    with task_span("run-3", "Trainer"):
        pass
    with pytest.raises(ValueError, match="disk"), task_span("run-3", "Evaluator"):
        raise ValueError("disk")
    assert collector["Trainer"]["traceId"] == trace_of_run("run-3")
    assert collector["Evaluator"]["status"]["code"] == ERROR


def test_no_collector_no_spans(monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert spans.provider("plant") is None


def test_a_collector_that_is_gone_fails_nothing(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    run = RunSpans("plant", "run-4")
    run.apply(stage("Join", "running"))
    run.end("done")
