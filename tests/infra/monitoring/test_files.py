"""The files of infra/monitoring agree with the code, the documentation and each other."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.collect.metrics import Metrics
from pipeline.metrics.scheme import METRICS
from tests.infra.conftest import INFRA, KUBERNETES

MONITORING = INFRA / "monitoring"
HERE = Path(__file__).parent
DOCUMENT = (INFRA.parent / "docs/monitoring.md").read_text()
RULES = [
    rule
    for path in sorted((MONITORING / "rules").iterdir())
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
DASHBOARDS = sorted((MONITORING / "grafana/dashboards").glob("*.json"))
FOREIGN = {"up", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"}
TENSORFLOW_SERVING = {
    ":tensorflow:serving:request_count",
    ":tensorflow:serving:request_latency",
    ":tensorflow:serving:runtime_latency",
    ":tensorflow:serving:batching_session:queuing_latency",
}
NAME = re.compile(r"[a-zA-Z_:][\w:]*(?=[{\[ )]|$)", re.MULTILINE)
UNITS = {"reqps", "s", "µs", "percentunit", "cps", "ops", "none", "short", "bytes", "bool_yes_no"}


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of docs/monitoring.md."""
    lines = DOCUMENT.partition(f"\n{heading}\n")[2].partition("\n#")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


def test_the_table_of_metrics_is_the_scheme() -> None:
    assert table("### Runs and training") == [
        [metric.name, ", ".join(metric.labels), metric.meaning] for metric in METRICS
    ]


def test_the_table_of_the_collectors_metrics_is_what_it_tells() -> None:
    told = []
    for metric in Metrics("plant", "telemetry").registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        told.append([name, metric.documentation])
    assert [[name, meaning] for name, _, meaning in table("### The collector")] == told


def test_the_table_of_alerts_is_the_rules() -> None:
    told = {name: severity for name, severity, _ in table("## Alerts")}
    assert told == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}


def known() -> set[str]:
    histograms = {*TENSORFLOW_SERVING, "serving_request_seconds", "collect_flush_seconds"}
    return {
        *FOREIGN,
        *(metric.name for metric in METRICS),
        *(row[0] for row in table("### The embedded server")),
        *(row[0] for row in table("### The collector")),
        *(rule["record"] for rule in RULES if "record" in rule),
        *histograms,
        *(f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")),
    }


def names(expr: str) -> set[str]:
    """The metrics that a query names."""
    plain = re.sub(r'"[^"]*"', "", expr)
    plain = re.sub(r"\b(by|on|group_left) \([^)]*\)", "", plain)
    return {name for name in NAME.findall(plain) if "_" in name or name == "up"}


def test_names_are_found_in_queries() -> None:
    assert names('sum by (a_b, c) (rate(serving_x_total{a=~"b_c"}[5m])) / x:y_z > 0') == {
        "serving_x_total",
        "x:y_z",
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_what_is_told(rule: dict[str, Any]) -> None:
    assert names(rule["expr"])
    assert names(rule["expr"]) <= known()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_saw_and_where_to_look(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert all(len(text) > 20 for text in rule["annotations"].values())
    tests = "".join(path.read_text() for path in (HERE / "rules").iterdir())
    assert f'alertname="{name}",alertstate="firing"' in tests


def test_alertmanager_holds_back_what_there_is() -> None:
    config = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    receivers = {receiver["name"] for receiver in config["receivers"]}
    assert {config["route"]["receiver"], *(r["receiver"] for r in config["route"]["routes"])} == (
        receivers
    )
    for rule in config["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            assert matcher.removeprefix('alertname="').rstrip('"') in ALERTS


def test_dashboards_are_what_the_generator_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(MONITORING / "grafana"))
    written = importlib.import_module("generate").files()
    assert written == {path.name: path.read_text() for path in DASHBOARDS}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    assert dashboard["uid"] == path.stem
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken
        taken |= cells
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert names(target["expr"]) <= known(), target["expr"]
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_pod_monitor_finds_the_pods() -> None:
    monitor = yaml.safe_load((MONITORING / "pod-monitor.yaml").read_text())
    schema = json.loads((HERE.parent / "schemas/PodMonitor.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(monitor)
    deployment = yaml.safe_load((KUBERNETES / "base/track/deployment.yaml").read_text())
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    assert endpoint["path"] == template["metadata"]["annotations"]["prometheus.io/path"]
    base = yaml.safe_load((KUBERNETES / "base/kustomization.yaml").read_text())
    labels = {key: value for pair in base["labels"] for key, value in pair["pairs"].items()}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for track in ("stable", "canary"):
        text = (KUBERNETES / f"base/{track}/kustomization.yaml").read_text()
        assert yaml.safe_load(text)["labels"][0]["pairs"] == {"track": track}
