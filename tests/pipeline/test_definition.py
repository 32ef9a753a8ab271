"""The definition says what the picture in it shows."""

import pytest

from components.curated_schema import schema_file
from components.distributed_trainer.settings import LoopbackWorkers, TfJobWorkers
from components.tuner.settings import TunerSettings, Tuning
from pipeline.nodes import node_ids
from pipeline.settings import load_settings
from serving.registry.settings import Registry
from tests import demo_project

pytestmark = pytest.mark.tfx


@pytest.fixture(scope="module")
def pipeline():
    settings = load_settings(demo_project.SETTINGS)
    registry = Registry(kind="mlflow", tracking_uri_env="MLFLOW_TRACKING_URI")
    settings = settings.model_copy(update={"registry": registry, "tuning": Tuning(trials=3)})
    return settings, create(settings)


def create(settings):
    from pipeline import beam
    from pipeline.definition import RunInputs, create_pipeline

    columns = schema_file.columns(schema_file.read_schema(demo_project.SCHEMA))
    inputs = RunInputs(
        as_of="2025-04-17T00:00:00Z",
        watermarks=dict.fromkeys(settings.sources, "w"),
        release_state="none",
        schema_fingerprint="s",
        trainer_config=settings.trainer_config(columns),
        lineage={},
        pipeline_root="var/pipeline",
        metadata_path="var/metadata.db",
        beam_args=beam.arguments(settings),
    )
    return create_pipeline(settings, inputs)


def test_names_are_told_without_tfx_too(pipeline) -> None:
    settings, made = pipeline
    assert {component.id for component in made.components} == set(node_ids(settings))


def test_nothing_trains_before_the_gate_allows(pipeline) -> None:
    _, made = pipeline
    nodes = {component.id: component for component in made.components}

    def before(node: str) -> set[str]:
        direct = {n.id for n in nodes[node].upstream_nodes}
        return direct.union(*(before(n) for n in direct))

    assert "AnomalyGate" in before("Transform")
    assert {"Evaluator", "Champion"} <= before("VersionPusher")


def test_what_tuner_finds_is_trained_with_and_kept(pipeline) -> None:
    settings, made = pipeline
    nodes = {component.id: component for component in made.components}
    assert "AnomalyGate" in {n.id for n in nodes["Transform"].upstream_nodes}
    assert {n.id for n in nodes["Tuner"].downstream_nodes} == {"Trainer", "VersionPusher"}
    found = nodes["Tuner"].outputs["best_hyperparameters"]
    assert nodes["Trainer"].inputs["hyperparameters"] is found
    told = TunerSettings.model_validate_json(nodes["Tuner"].exec_properties["settings"])
    assert (told.metric, told.better, told.split) == ("auc", "higher", "time")
    assert (told.time, told.entity) == ("observed_at", "machine_id")
    assert told.trials == 3 and told.horizon == settings.label.horizon


def test_without_tuning_there_is_no_such_stage(pipeline) -> None:
    settings, _ = pipeline
    order = node_ids(settings)
    assert order.index("Transform") < order.index("Tuner") < order.index("Trainer")
    without = node_ids(settings.model_copy(update={"tuning": None}))
    assert without == [node for node in order if node != "Tuner"]


def test_the_pusher_knows_the_registry_by_name_alone(pipeline, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://plant:hunter2@mlflow.example")
    settings, made = pipeline
    (pusher,) = [component for component in made.components if component.id == "VersionPusher"]
    told = pusher.exec_properties["registry"]
    assert Registry.model_validate_json(told) == settings.registry
    assert "hunter2" not in told


def test_code_is_part_of_every_cache_key_of_ours(pipeline) -> None:
    _, made = pipeline
    stock = {"StatisticsGen", "ExampleValidator"}
    for component in made.components:
        if component.id in stock:
            continue
        properties = component.exec_properties
        code = properties.get("code") or properties.get("custom_config")
        assert code, component.id


def test_workers_are_part_of_no_cache_key_but_that_of_the_trainer_they_train_for(pipeline) -> None:
    settings, made = pipeline

    def changed(**training: object) -> set[str]:
        update = {"training": settings.training.model_copy(update=training)}
        other = create(settings.model_copy(update=update))
        before = {component.id: component.exec_properties for component in made.components}
        return {c.id for c in other.components if c.exec_properties != before[c.id]}

    assert changed(strategy="multi_worker") == {"Trainer"}
    assert changed(workers=LoopbackWorkers(count=4)) == set()
    many = {"strategy": "multi_worker"}
    settings = settings.model_copy(update={"training": settings.training.model_copy(update=many)})
    made = create(settings)
    assert changed(workers=LoopbackWorkers(hang_timeout="1h", restarts=9)) == set()
    assert changed(workers=TfJobWorkers(shared="/mnt/plant/training")) == set()
    assert changed(workers=LoopbackWorkers(count=4)) == {"Trainer"}
