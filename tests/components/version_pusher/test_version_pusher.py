import json
from pathlib import Path

import pytest

from components.version_pusher.component import VersionPusher
from components.version_pusher.executor import Executor
from components.version_pusher.report import read_push
from pipeline.decision import decide
from serving.releases import Releases
from tests.ports import free_port

pytestmark = pytest.mark.tfx

EVALUATION = {
    "blessed": True,
    "metrics": {"auc": 0.91},
    "baseline_metrics": {"auc": 0.9},
    "baseline_version": 6,
    "thresholds": {"auc": {"min": 0.8}},
    "failures": [],
    "slices": [],
    "note": "",
    "reasons": [],
}
REFUSED = {**EVALUATION, "blessed": False, "reasons": ["auc 0.79 is below 0.80"]}
LINEAGE = {"code": "abc"}


def run(
    folder: Path,
    content: str = "a",
    evaluation: dict = EVALUATION,
    blessed: str = "BLESSED",
    infra: str | None = None,
    served: dict | None = None,
    keep: int = 5,
    rollout: str = "at_once",
    registry: str = "",
) -> dict:
    """Runs the executor on artifacts made of files alone."""
    from tfx.types import channel, standard_artifacts

    kinds = {
        "model": standard_artifacts.Model,
        "model_blessing": standard_artifacts.ModelBlessing,
        "infra_blessing": standard_artifacts.InfraBlessing,
        "evaluation": standard_artifacts.ModelEvaluation,
        "statistics": standard_artifacts.ExampleStatistics,
        "schema": standard_artifacts.Schema,
        "pushed_model": standard_artifacts.PushedModel,
    }
    place = folder / f"run-{content}-{len(list(folder.iterdir()))}"
    artifacts = {}
    for name, kind in kinds.items():
        artifacts[name] = kind()
        artifacts[name].uri = str(place / name)
        (place / name).mkdir(parents=True)
    (place / "model" / "Format-Serving").mkdir()
    (place / "model" / "Format-Serving" / "saved_model.pb").write_text(content)
    (place / "model_blessing" / blessed).touch()
    (place / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation))
    (place / "statistics" / "Split-train").mkdir()
    (place / "statistics" / "Split-train" / "FeatureStats.pb").write_text("stats")
    (place / "schema" / "schema.pbtxt").write_text("feature {}")
    if infra is None:
        del artifacts["infra_blessing"]
    else:
        (place / "infra_blessing" / infra).touch()
        if served is not None:
            (place / "infra_blessing" / "report.json").write_text(json.dumps(served))
        if infra == "INFRA_BLESSED":
            warmed = place / "infra_blessing" / "stored_model"
            (warmed / "assets.extra").mkdir(parents=True)
            (warmed / "saved_model.pb").write_text(content)
            (warmed / "assets.extra" / "tf_serving_warmup_requests").write_text("warm")
    inputs = {name: x for name, x in artifacts.items() if name != "pushed_model"}
    component = VersionPusher(
        **{name: channel.Channel(type=kinds[name]) for name in inputs},
        directory=str(folder / "served"),
        keep=keep,
        lineage=json.dumps(LINEAGE),
        as_of="2025-01-31",
        split='{"by": "time", "train": "20d", "eval": "5d"}',
        horizon="24h",
        rollout=rollout,
        registry=registry,
        code="c",
    )
    context = Executor.Context(tmp_dir=str(place / "tmp"), unique_id="1", pipeline_run_id="run-7")
    Executor(context).Do(
        {name: [x] for name, x in inputs.items()},
        {"pushed_model": [artifacts["pushed_model"]]},
        dict(component.exec_properties),
    )
    result = read_push(artifacts["pushed_model"].uri)
    assert artifacts["pushed_model"].get_int_custom_property("pushed") == result["pushed"]
    return result


def test_a_blessed_model_becomes_a_version_with_its_lineage(tmp_path):
    result = run(tmp_path)

    assert (result["pushed"], result["created"], result["version"]) == (True, True, 1)
    assert (result["metrics"], result["baseline_version"]) == ({"auc": 0.91}, 6)
    release = Releases(tmp_path / "served").stable().release
    assert release["lineage"] == {
        "run_id": "run-7",
        "as_of": "2025-01-31T00:00:00Z",
        "train": "2025-01-04T00:00:00Z/2025-01-24T00:00:00Z",
        "eval": "2025-01-25T00:00:00Z/2025-01-30T00:00:00Z",
        **LINEAGE,
    }
    assert release["metrics"] == {"auc": 0.91}
    assert release["gates"]["evaluation"] == {"blessed": True, "thresholds": {"auc": {"min": 0.8}}}
    extra = tmp_path / "served" / "1" / "assets.extra"
    assert (extra / "statistics" / "Split-train" / "FeatureStats.pb").read_text() == "stats"
    assert (extra / "schema.pbtxt").read_text() == "feature {}"


def test_a_registry_that_is_down_is_told_and_stops_no_push(tmp_path):
    uri = f"http://127.0.0.1:{free_port()}"
    result = run(tmp_path, registry=json.dumps({"kind": "mlflow", "tracking_uri": uri}))

    assert result["pushed"]
    # On a busy machine it may not have given up yet.
    assert result["registry"].startswith(("MLflow could not be told", "MLflow is not told yet"))
    assert result["registry"] in decide(result).text


def test_a_refused_model_is_not_pushed_and_the_reason_is_told(tmp_path):
    run(tmp_path)
    result = run(tmp_path, "b", REFUSED, "NOT_BLESSED")

    assert (result["pushed"], result["version"], result["serves"]) == (False, None, 1)
    assert result["reason"] == "auc 0.79 is below 0.80"
    assert len(Releases(tmp_path / "served").versions()) == 1


def test_no_blessing_at_all_is_no_blessing(tmp_path):
    result = run(tmp_path, blessed="something")
    assert not result["pushed"]
    assert result["reason"] == "evaluation did not bless the model"


@pytest.mark.parametrize(
    ("infra", "pushed"), [("INFRA_BLESSED", True), ("INFRA_NOT_BLESSED", False)]
)
def test_the_serving_gate_has_a_say_where_there_is_one(tmp_path, infra, pushed):
    result = run(tmp_path, infra=infra)
    assert result["pushed"] is pushed
    assert ("serving gate" in result["reason"]) and ("did not bless" in result["reason"]) != pushed


def test_the_serving_gates_model_is_what_is_pushed_with_its_figures(tmp_path):
    """It has the warm-up requests, which TFX's Pusher would lose."""
    run(tmp_path, infra="INFRA_BLESSED", served={"reasons": [], "measured": {"sent": 500}})
    (version,) = Releases(tmp_path / "served").versions()
    assert (version.path / "assets.extra/tf_serving_warmup_requests").read_text() == "warm"
    gate = version.release["gates"]["serving gate"]
    assert gate == {"blessed": True, "measured": {"sent": 500}}


def test_the_serving_gates_reasons_are_told(tmp_path):
    served = {"reasons": ["p99 is 61.0 ms at 100 requests/s, and latency_p99_ms is 50"]}
    result = run(tmp_path, infra="INFRA_NOT_BLESSED", served=served)
    assert result["reason"] == served["reasons"][0]


def test_the_same_model_again_is_the_same_version(tmp_path):
    run(tmp_path)
    result = run(tmp_path)
    assert (result["pushed"], result["created"], result["version"]) == (True, False, 1)
    assert result["reason"] == "the same model is version 1 already"


def test_only_so_many_versions_are_kept(tmp_path):
    for content in "abcd":
        result = run(tmp_path, content, keep=2)
    assert result["pruned"] == [2]
    assert [v.number for v in Releases(tmp_path / "served").versions()] == [3, 4]


def test_a_canary_is_staged_and_the_stable_version_serves_on(tmp_path):
    first = run(tmp_path, "a", rollout="canary")
    second = run(tmp_path, "b", rollout="canary")

    assert (first["version"], first["state"], first["serves"]) == (1, "stable", 1)
    assert (second["version"], second["state"], second["serves"]) == (2, "staged", 1)
    assert second["pushed"]


def test_a_model_that_was_rolled_back_is_not_pushed_again(tmp_path):
    run(tmp_path, "a")
    run(tmp_path, "b")
    Releases(tmp_path / "served").rollback("slow answers")

    result = run(tmp_path, "b")

    assert (result["pushed"], result["version"], result["serves"]) == (False, 2, 1)
    assert "version 2 already, quarantined because slow answers" in result["reason"]
