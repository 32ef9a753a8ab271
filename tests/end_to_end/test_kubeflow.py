"""The compiled package run task by task, each task's command as Kubeflow's launcher runs it.

No cluster: ``tests/pipeline/kubeflow/launcher`` stands for the driver, the launcher, ML Metadata
and the bucket. The tests share one cluster and build on each other. With ``WALK=process`` in the
environment each task is a new process, as in a pod; else a fork of one that has imported TFX.
"""

import json
import os
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from pipeline.kubeflow.compile import compile_pipeline
from pipeline.nodes import node_ids
from pipeline.settings import load_settings
from tests import demo_project
from tests.end_to_end.conftest import Project, make_project
from tests.pipeline.kubeflow.launcher.cluster import Cluster, Finished
from tests.pipeline.kubeflow.launcher.command import run_forked, run_process
from tests.pushgateway import Pushgateway, pushgateway

pytestmark = [pytest.mark.tfx, pytest.mark.end_to_end]

PIPELINE_ROOT = "minio://mlpipeline/v2/artifacts"
SECRET = ("plant-db", "url")


class Plant:
    """A project whose pipeline runs on a cluster."""

    def __init__(self, project: Project, pushgateway: str) -> None:
        self.project = project
        self.database = project.folder / "var/demo/plant.db"
        self.cluster = Cluster(
            folder=project.folder / "cluster",
            run_command=run_process if os.environ.get("WALK") == "process" else run_forked,
            secrets={SECRET: f"sqlite:///{self.database}"},
            environment={"PATH": os.environ["PATH"], "HOME": str(project.folder)},
        )
        settings = yaml.safe_load(project.settings_file.read_text())
        # What a container reads and writes lies on a volume, here the project's own folder.
        telemetry = settings["sources"]["telemetry"]
        telemetry["path"] = [str(project.folder / path) for path in telemetry["path"]]
        settings["serving"]["directory"] = str(project.folder / "var/serving")
        nodes: dict[str, Any] = {
            "__default__": {
                "secrets": {"PLANT_DB_URL": {"secret": SECRET[0], "key": SECRET[1]}},
                "volumes": [{"claim": "plant", "path": str(project.folder)}],
            }
        }
        # The data do not change in this test but where it says so.
        for name, source in settings["sources"].items():
            kind = "Sql" if source["kind"] == "sql" else "Sensor"
            nodes[f"{kind}ExampleGen-{name}"] = {"cache": True}
        project.change(
            schema=demo_project.SCHEMA_BESIDE_THE_CODE,
            sources=settings["sources"],
            serving=settings["serving"],
            monitoring={"pushgateway": pushgateway},
            kubeflow={
                "image": f"registry.example/plant@sha256:{'0' * 64}",
                "pipeline_root": PIPELINE_ROOT,
                "nodes": nodes,
            },
        )

    def run(self, as_of: str) -> Finished:
        """Compiles the package, and runs it from its text."""
        path = self.project.settings_file
        package = compile_pipeline(load_settings(path), path, "kfp")
        assert str(self.database) not in package.text
        spec, platform = yaml.safe_load_all(package.text)
        return self.cluster.run(spec, platform, PIPELINE_ROOT, {"as_of": as_of})


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[str, type[Pushgateway]]]:
    with pushgateway() as running:
        yield running


@pytest.fixture(scope="module")
def plant(
    tmp_path_factory: pytest.TempPathFactory, gateway: tuple[str, type[Pushgateway]]
) -> Plant:
    return Plant(make_project(tmp_path_factory.mktemp("plant")), gateway[0])


def failures(run: Finished) -> str:
    """What the tasks that failed printed."""
    return "\n".join(
        f"{n}: {t.printed[-3000:]}" for n, t in run.tasks.items() if t.state == "failed"
    )


def pushed(run: Finished) -> dict[str, Any]:
    """What VersionPusher left in the bucket."""
    report = run.outputs["VersionPusher"]["pushed_model"] / "pushed.json"
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def release(project: Project, version: int) -> dict[str, Any]:
    path: pathlib.Path = project.model_folder / f"{version}/assets.extra/release.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_from_the_sources_to_the_first_version(plant: Plant) -> None:
    run = plant.run("2025-02-20")
    assert run.states("done") == set(run.tasks), failures(run)
    assert plant.project.versions() == [1]
    assert release(plant.project, 1)["lineage"]["run_id"] == run.run_id
    assert release(plant.project, 1)["lineage"]["as_of"] == "2025-02-20T00:00:00Z"
    for name, task in run.tasks.items():
        assert {(line["run_id"], line["node"]) for line in task.logged} == {(run.run_id, name)}


def test_every_task_told_the_pushgateway(
    plant: Plant, gateway: tuple[str, type[Pushgateway]]
) -> None:
    told = {path.rpartition("/")[2]: body for _, path, body in gateway[1].pushed}
    assert set(told) == set(node_ids(load_settings(plant.project.settings_file)))
    for stage, body in told.items():
        of = f'pipeline="plant-failures",stage="{stage}"'
        assert f'pipeline_stage_state{{{of},state="done"}} 1.0' in body
    assert (
        'pipeline_rows_joined{pipeline="plant-failures",split="train"}' in (told["PointInTimeJoin"])
    )
    assert "pipeline_last_success_timestamp_seconds{" in told["VersionPusher"]


def test_no_path_of_a_container_leaves_it(plant: Plant) -> None:
    blessings = [
        artifact["metadata"]
        for artifact in plant.cluster.store.artifacts.values()
        if artifact["uri"].endswith("/Evaluator/blessing")
        or "current_model" in artifact["metadata"]
    ]
    assert blessings[0]["current_model"].startswith(f"{PIPELINE_ROOT}/")
    told = json.dumps(list(plant.cluster.store.artifacts.values()))
    assert str(plant.cluster.folder / "pods") not in told


def test_a_second_version_is_compared_with_the_first(plant: Plant) -> None:
    run = plant.run("2025-02-28")
    assert run.states("cached") == {"CuratedSchema"}, failures(run)
    assert run.states("done") == set(run.tasks) - {"CuratedSchema"}, failures(run)
    assert plant.project.versions() == [1, 2]
    assert release(plant.project, 2)["baseline_version"] == 1


def test_a_model_that_is_not_good_enough_is_not_pushed(plant: Plant) -> None:
    plant.project.change(evaluation={"metrics": {"auc": {"min": 0.999}}})
    run = plant.run("2025-02-28")
    # What does not depend on the champion or the threshold is taken from the run before.
    assert run.states("done") == {"Champion", "AnomalyGate", "Evaluator", "VersionPusher"}
    assert run.states("cached") == set(run.tasks) - run.states("done"), failures(run)
    assert pushed(run)["pushed"] is False
    assert "is below 0.999" in pushed(run)["reason"]
    assert plant.project.versions() == [1, 2]


def test_an_anomaly_stops_the_run(plant: Plant, gateway: tuple[str, type[Pushgateway]]) -> None:
    with sqlite3.connect(plant.database) as database:
        database.execute("UPDATE machines SET site = 'the moon'")
    run = plant.run("2025-02-27")
    assert run.states("failed") == {"AnomalyGate"}, failures(run)
    assert run.states("omitted") == {
        "Transform",
        "Trainer",
        "Evaluator",
        "ServingGate",
        "VersionPusher",
    }
    (error,) = [line for line in run.tasks["AnomalyGate"].logged if line["level"] == "ERROR"]
    assert "the moon" in error["message"]
    assert "mend:" in error["message"]
    _, path, body = gateway[1].pushed[-1]
    assert path.endswith("/stage/AnomalyGate")
    assert 'pipeline_run_success{pipeline="plant-failures"} 0.0' in body
    assert 'pipeline_gate_blessed{gate="anomalies",pipeline="plant-failures"} 0.0' in body
    assert plant.project.versions() == [1, 2]
