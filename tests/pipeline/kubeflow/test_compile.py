"""The definition compiled for both backends, from every shape of settings."""

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

import pytest
import yaml

from components.distributed_trainer.settings import LAUNCH, Launch
from components.ingest.sources import SqlSource
from pipeline.beam import arguments
from pipeline.nodes import example_gen_id, node_ids
from pipeline.settings import Settings, parse_settings
from tests import demo_project

pytestmark = pytest.mark.tfx

VALID = demo_project.ROOT / "tests/settings/valid"
EXAMPLE = demo_project.CLUSTER_SETTINGS
# By name: where the settings come from, and the backend.
VARIANTS = {
    "kubeflow": (VALID / "kubeflow.yaml", "kfp"),
    "vertex": (VALID / "vertex.yaml", "vertex"),
    "plant": (EXAMPLE, "kfp"),
    "tfjob": (VALID / "tfjob.yaml", "kfp"),
    "beam": (VALID / "beam.yaml", "kfp"),
    **{
        name: (VALID / f"{name}.yaml", "kfp")
        for name in ("sql_only", "regression", "multiclass", "entity_split", "long_layout", "demo")
    },
}
PASSWORD = "hunter2-in-the-environment"


@dataclasses.dataclass(frozen=True)
class Compiled:
    settings: Settings
    package: Any

    @property
    def tasks(self) -> dict[str, Any]:
        found: dict[str, Any] = self.package.spec["root"]["dag"]["tasks"]
        return found

    def container(self, node: str) -> dict[str, Any]:
        found: dict[str, Any] = self.package.spec["deploymentSpec"]["executors"][
            f"{node}_executor"
        ]["container"]
        return found

    def pod(self, node: str) -> dict[str, Any]:
        kubernetes = self.package.platform["platforms"]["kubernetes"]
        found: dict[str, Any] = kubernetes["deploymentSpec"]["executors"].get(
            f"{node}_executor", {}
        )
        return found


def on_a_cluster(data: dict[str, Any]) -> dict[str, Any]:
    """Settings with their places on a cluster, if they name none, and features of our schema."""
    if "kubeflow" in data:
        return data
    data = data | {"features": "auto", "as_of": "2025-04-17"}
    data["serving"] = {"directory": "/mnt/plant/serving"}
    data.pop("schema", None)
    for source in data["sources"].values():
        source.pop("url", None)
        if source["kind"] == "sql":
            source["url_env"] = "PLANT_DB_URL"
        else:
            source["path"] = "/mnt/plant/telemetry/*.csv"
    defaults = {
        "secrets": {"PLANT_DB_URL": {"secret": "plant-db", "key": "url"}},
        "volumes": [{"claim": "plant", "path": "/mnt/plant"}],
    }
    data["kubeflow"] = {
        "image": f"registry.example/plant@sha256:{'a' * 64}",
        "pipeline_root": "s3://plant/artifacts",
        "nodes": {"__default__": defaults},
    }
    return data


@pytest.fixture(scope="module")
def compiled() -> dict[str, Compiled]:
    from pipeline.kubeflow.compile import compile_pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANT_DB_URL", f"postgresql://plant:{PASSWORD}@db/plant")
        patch.chdir(demo_project.PLANT)
        made = {}
        for name, (path, backend) in VARIANTS.items():
            data = on_a_cluster(yaml.safe_load(path.read_text()))
            settings = parse_settings(yaml.safe_dump(data, sort_keys=False), str(path))
            made[name] = Compiled(settings, compile_pipeline(settings, path, backend))
    return made


@pytest.mark.parametrize("name", VARIANTS)
def test_every_node_is_a_task_of_our_entrypoint(compiled, name):
    made = compiled[name]
    assert set(made.tasks) == set(node_ids(made.settings))
    for node in made.tasks:
        container = made.container(node)
        assert container["command"] == ["python", "-m", "pipeline.kubeflow.entrypoint"]
        flags = dict(zip(container["args"][:6:2], container["args"][1:6:2], strict=True))
        assert flags["--json_serialized_invocation_args"] == "{{$}}"
        # What the entrypoint restores the inputs' types from.
        told = json.loads(flags["--json_serialized_inputs_spec_args"]).get("artifacts", {})
        assert set(told) == set(made.tasks[node].get("inputs", {}).get("artifacts", {}))


@pytest.mark.parametrize("name", [n for n, (_, backend) in VARIANTS.items() if backend == "kfp"])
def test_kfps_own_loader_takes_it(compiled, name):
    from kfp import components

    loaded = components.load_component_from_text(compiled[name].package.text)
    assert loaded.pipeline_spec.schema_version == "2.1.0"
    assert loaded.component_spec.inputs["as_of"].default == compiled[name].settings.as_of
    assert loaded.platform_spec.platforms["kubernetes"]


def test_no_secret_reaches_a_compiled_byte(compiled):
    for name, made in compiled.items():
        assert PASSWORD not in made.package.text, name
        assert "postgresql://plant:" not in made.package.text, name


def test_as_of_is_a_parameter_of_the_run(compiled):
    made = compiled["kubeflow"]
    root = made.package.spec["root"]["inputDefinitions"]["parameters"]
    assert root == {"as_of": {"parameterType": "STRING", "defaultValue": "now"}}
    reads = [example_gen_id(made.settings, name) for name in made.settings.sources]
    takes = {n for n, t in made.tasks.items() if "as_of" in t["inputs"].get("parameters", {})}
    assert takes == {*reads, "PointInTimeJoin", "VersionPusher"}
    for node in takes:
        parameters = made.tasks[node]["inputs"]["parameters"]
        assert parameters["as_of"] == {"componentInputParameter": "as_of"}
        created = parameters["run_time"]["runtimeValue"]["constant"]
        assert created == "{{$.pipeline_job_create_time_utc}}"
    pusher = made.tasks["VersionPusher"]["inputs"]["parameters"]
    assert pusher["run_id"] == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}


def test_each_node_on_beam_is_told_its_runner_and_no_other_is(compiled):
    for made in compiled.values():
        told = arguments(made.settings)
        for node in made.tasks:
            assert made.container(node)["args"][6:] == told.get(node, [])
    assert "--runner=DataflowRunner" in compiled["beam"].container("Transform")["args"]


def test_a_fixed_as_of_leaves_caches_alone(compiled):
    for task in compiled["sql_only"].tasks.values():
        assert "run_time" not in task["inputs"].get("parameters", {})


def test_what_looks_outside_is_not_cached(compiled):
    for made in compiled.values():
        off = {n for n, t in made.tasks.items() if not t["cachingOptions"]["enableCache"]}
        reads = {example_gen_id(made.settings, name) for name in made.settings.sources}
        wished = {n for n, node in made.settings.kubeflow.nodes.items() if node.cache is False}
        assert off == {*reads, "Champion", "VersionPusher", *wished}


def test_nodes_get_what_their_settings_say(compiled):
    made = compiled["kubeflow"]
    trainer = made.container("Trainer")
    assert trainer["image"].startswith("registry.example/plant-gpu@sha256:")
    assert trainer["resources"] == {
        "cpuLimit": 0.5,
        "memoryLimit": 4.294967296,
        "accelerator": {"type": "nvidia.com/gpu", "count": "2"},
    }
    assert trainer["env"] == [{"name": "TF_CPP_MIN_LOG_LEVEL", "value": "1"}]
    assert made.tasks["Trainer"]["retryPolicy"]["maxRetryCount"] == 2
    assert made.pod("Trainer") == {
        "secretAsEnv": [
            {"secretName": "plant-db", "keyToEnv": [{"secretKey": "url", "envVar": "PLANT_DB_URL"}]}
        ],
        "pvcMount": [{"constant": "plant", "mountPath": "/mnt/plant"}],
        "nodeSelector": {"labels": {"pool": "batch"}},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }
    assert made.container("Transform")["image"].startswith("registry.example/plant@sha256:")
    assert "accelerator" not in made.container("Transform")["resources"]


def test_only_trainer_is_told_where_its_workers_run(compiled):
    made = compiled["tfjob"]
    told = {
        node: [v["value"] for v in made.container(node).get("env", ()) if v["name"] == LAUNCH]
        for node in made.tasks
    }
    (launch,) = told.pop("Trainer")
    assert Launch.model_validate_json(launch).workers.namespace == "plant"
    assert not any(told.values())
    # It would be part of the cache key among the parameters: of these, only how many is.
    assert "workers" in json.dumps(made.tasks["Trainer"]["inputs"]["parameters"])
    assert "/mnt/plant/training" not in json.dumps(made.tasks["Trainer"])


def test_secrets_go_only_where_they_are_needed(compiled):
    made = compiled["plant"]
    given = {node for node in made.tasks if "secretAsEnv" in made.pod(node)}
    sources = made.settings.sources.items()
    sql = {example_gen_id(made.settings, n) for n, s in sources if isinstance(s, SqlSource)}
    assert given == sql


def test_vertex_gets_a_job_without_kubernetes(compiled):
    made = compiled["vertex"]
    job = json.loads(made.package.text)
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://plant/pipeline"
    assert made.package.platform == {}
    assert made.container("Trainer")["resources"]["accelerator"]["type"] == "NVIDIA_L4"
    assert made.package.left_out == ["node_selector of Trainer: Vertex AI chooses machines itself"]


def test_another_process_writes_the_same_bytes(compiled, tmp_path):
    environment = os.environ | {
        "PYTHONHASHSEED": "4711",
        "PLANT_DB_URL": f"postgresql://plant:{PASSWORD}@db/plant",
        "PYTHONPATH": str(demo_project.ROOT),
    }
    words = ["--settings", str(EXAMPLE), "compile", "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=demo_project.PLANT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = (tmp_path / "pipeline.yaml").read_bytes()
    assert written == compiled["plant"].package.text.encode()
    assert "SqlExampleGen-observations" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_nodes_that_a_cluster_cannot_run_are_refused():
    from tfx.components import CsvExampleGen, InfraValidator, Trainer
    from tfx.dsl.components.common.resolver import Resolver
    from tfx.dsl.input_resolution.strategies.latest_artifact_strategy import LatestArtifactStrategy
    from tfx.orchestration.pipeline import Pipeline
    from tfx.proto import trainer_pb2
    from tfx.types import Channel, standard_artifacts

    from pipeline.kubeflow.unsupported import UnsupportedError, check_supported

    examples = CsvExampleGen(input_base="/mnt/plant/csv")
    trainer = Trainer(
        module_file="trainer.py",
        examples=examples.outputs["examples"],
        train_args=trainer_pb2.TrainArgs(num_steps=1),
        eval_args=trainer_pb2.EvalArgs(num_steps=1),
    )
    model = Channel(type=standard_artifacts.Model)
    newest = Resolver(strategy_class=LatestArtifactStrategy, model=model)
    validator = InfraValidator(model=trainer.outputs["model"], serving_spec={})
    nodes = [examples, trainer, newest.with_id("Newest"), validator]
    with pytest.raises(UnsupportedError) as caught:
        check_supported(Pipeline("p", "/tmp/p", components=nodes))
    told = str(caught.value)
    assert "CsvExampleGen: its driver" in told
    assert "Newest: Kubeflow has no Resolver" in told
    assert "InfraValidator: TFX does not compile InfraValidator" in told
    assert "Trainer: module_file makes a wheel" in told


def test_the_example_is_the_plants_settings_in_other_places():
    here = yaml.safe_load(demo_project.SETTINGS.read_text())
    example = yaml.safe_load(EXAMPLE.read_text())
    del example["kubeflow"], example["serving"]["directory"], example["as_of"], here["as_of"]
    # A cluster serves by TensorFlow Serving, which keeps no samples.
    del here["sources"]["observations"]["url"], here["serving"]["sampling"]
    place = example["sources"]["telemetry"]
    place["path"] = [path.replace("/mnt/plant/", "var/demo/") for path in place["path"]]
    assert example == here
