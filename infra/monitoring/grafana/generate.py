"""Writes the dashboards: ``python infra/monitoring/grafana/generate.py``.

What is on them stands in panels.py and collector.py; here is how Grafana's JSON model says it, see
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.
"""

import json
import pathlib
from typing import Any

import panels
from collector import COLLECTOR
from panels import Dashboard, Panel

FOLDER = pathlib.Path(__file__).parent / "dashboards"
SCHEMA_VERSION = 39
WIDTH, HEIGHT = 12, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def render(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard in Grafana's JSON model: two panels a row, in order."""
    return {
        "uid": dashboard.name,
        "title": dashboard.title,
        "tags": ["pipeline"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": dashboard.since, "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                _variable(dashboard.variable, dashboard.values),
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }


def _variable(name: str, values: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": values, "refId": "A"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": color, "value": value} for value, color in panel.thresholds]
    custom = {"thresholdsStyle": {"mode": "line"}} if panel.thresholds else {}
    return {
        "id": number + 1,
        "type": panel.type,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": {
            "x": number % 2 * WIDTH,
            "y": number // 2 * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": custom if panel.type == "timeseries" else {},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": panel.type != "timeseries",
                "range": panel.type == "timeseries",
            }
            for place, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


def files() -> dict[str, str]:
    """The dashboards' files by name."""
    return {
        f"{dashboard.name}.json": json.dumps(render(dashboard), indent=1) + "\n"
        for dashboard in (*panels.DASHBOARDS, COLLECTOR)
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
