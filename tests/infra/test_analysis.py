"""The rollout's questions to Prometheus: valid PromQL, and the right answers on known series."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.infra.conftest import Manifest

pytestmark = pytest.mark.services

HASH = "6d4f8c"
COUNT = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"


@pytest.fixture(scope="module")
def metrics(build: Callable[[str], list[Manifest]]) -> dict[str, Manifest]:
    """The analysis' metrics by name, their arguments filled in."""
    (template,) = [o for o in build("overlays/argo-rollouts") if o["kind"] == "AnalysisTemplate"]
    text = yaml.safe_dump(template["spec"]["metrics"])
    for argument in template["spec"]["args"]:
        text = text.replace(f"{{{{args.{argument['name']}}}}}", argument.get("value", HASH))
    assert "{{" not in text
    return {m["name"]: m for m in yaml.safe_load(text)}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "no promtool: make test-services installs it"
    return found


def query(metric: Manifest) -> str:
    return metric["provider"]["prometheus"]["query"]


def counter(labels: str, per_minute: float, name: str = COUNT, pods: str = HASH) -> dict[str, str]:
    return {
        "series": f'{name}{{rollouts_pod_template_hash="{pods}",model_name="m",{labels}}}',
        "values": f"0+{per_minute}x30",
    }


def test_queries_are_promql(metrics: dict[str, Manifest], promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"analysis:{name.replace('-', '_')}", "expr": query(metric)}
        for name, metric in metrics.items()
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "analysis", "rules": rules}]}))
    subprocess.run([promtool, "check", "rules", str(path)], check=True, timeout=60)


def test_the_latency_bound_is_an_edge_of_the_histogram(metrics: dict[str, Manifest]) -> None:
    """TensorFlow Serving's edges are 10 * 1.8^i microseconds, written with six digits."""
    edges = [f"{10 * 1.8**i:.6g}" for i in range(33)]
    below = [edge for edge in edges if float(edge) <= 50_000][-1]
    assert f'le="{below}"' in query(metrics["share-within-budget"])


STABLE = [counter('status="UNAVAILABLE"', 900, pods="old"), counter('status="OK"', 10, pods="old")]


@pytest.mark.parametrize(
    ("name", "series", "answer"),
    [
        ("requests", [counter('status="OK"', 90), counter('status="INTERNAL"', 10)], 1000),
        ("requests", [], None),
        ("error-share", [counter('status="OK"', 99), counter('status="INTERNAL"', 1)], 0.01),
        ("error-share", [counter('status="OK"', 99), counter('status="INVALID_ARGUMENT"', 9)], 0),
        ("error-share", [], None),
        (
            "share-within-budget",
            [
                counter('API="Predict",le="37481.3"', 75, f"{LATENCY}_bucket"),
                counter('API="Predict",le="67466.4"', 100, f"{LATENCY}_bucket"),
                counter('API="Predict"', 100, f"{LATENCY}_count"),
            ],
            0.75,
        ),
        ("share-within-budget", [], None),
    ],
)
def test_answers_on_known_series(
    metrics: dict[str, Manifest],
    promtool: str,
    tmp_path: Path,
    name: str,
    series: list[dict[str, str]],
    answer: float | None,
) -> None:
    """The other pods' errors don't count; no series give no answer, and that fails the analysis."""
    samples = [] if answer is None else [{"labels": "{}", "value": answer}]
    test = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [*series, *STABLE],
                "promql_expr_test": [
                    {"expr": query(metrics[name]), "eval_time": "20m", "exp_samples": samples}
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    result = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_metric_fails_without_an_answer(metrics: dict[str, Manifest]) -> None:
    """Without a failure condition, whatever is no success is a failure."""
    for metric in metrics.values():
        assert metric["successCondition"].startswith("len(result) > 0 && ")
        assert metric["failureLimit"] == 0
        assert "failureCondition" not in metric
