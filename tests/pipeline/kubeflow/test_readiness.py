"""Settings that could not run on a cluster are refused with what to mend."""

import pathlib
from typing import Any

import pytest
import yaml

from pipeline.kubeflow.readiness import check_ready, left_out
from pipeline.kubeflow.resources import executor_config, gigabytes, processors, resource_spec
from pipeline.nodes import is_cached
from pipeline.settings import SettingsError, load_settings, parse_settings
from pipeline.settings.kubeflow import Node

VALID = pathlib.Path("tests/settings/valid")
KUBEFLOW = yaml.safe_load((VALID / "kubeflow.yaml").read_text())


def changed(at: str, value: Any) -> dict[str, Any]:
    """The example with one place changed; None takes it away."""
    data = yaml.safe_load((VALID / "kubeflow.yaml").read_text())
    *parents, last = at.split(".")
    block = data
    for key in parents:
        block = block.setdefault(key, {})
    if value is None:
        del block[last]
    else:
        block[last] = value
    return data


def refusal(data: dict[str, Any], backend: str = "kfp", **options: bool) -> str:
    settings = parse_settings(yaml.safe_dump(data))
    with pytest.raises(SettingsError) as caught:
        check_ready(settings, pathlib.Path("settings.yaml"), backend, **options)
    return str(caught.value)


def test_the_examples_are_ready():
    check_ready(load_settings(VALID / "kubeflow.yaml"), VALID, "kfp")
    settings = load_settings(VALID / "vertex.yaml")
    check_ready(settings, VALID, "vertex")
    assert left_out(settings, "vertex") == [
        "node_selector of Trainer: Vertex AI chooses machines itself"
    ]


@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        ("kubeflow", None, "kubeflow: missing: image, pipeline_root and nodes"),
        ("as_of", "latest", "as_of is 'latest', which each stage would find at another instant"),
        (
            "kubeflow.image",
            "registry.example/plant:1",
            "kubeflow.image is 'registry.example/plant:",
        ),
        ("kubeflow.image", f"plant@sha256:{'0' * 63}", "expected an image pinned by digest"),
        (
            "kubeflow.nodes.Trainer.image",
            "plant:gpu",
            "kubeflow.nodes.Trainer.image is 'plant:gpu'",
        ),
        ("serving.directory", "var/serving", "where Champion would lose the versions with its pod"),
        ("serving.directory", "/mnt/plant/../x", "where Champion would lose the versions"),
        ("kubeflow.nodes.VersionPusher", {"volumes": []}, "where VersionPusher would lose"),
        (
            "kubeflow.nodes.VersionPusher",
            {"volumes": [{"claim": "other", "path": "/mnt/plant"}]},
            "which is on another volume for Champion than for VersionPusher",
        ),
        (
            "sources.telemetry.path",
            "data/*.jsonl",
            "which SensorExampleGen-telemetry would not find",
        ),
        (
            "kubeflow.nodes.SensorExampleGen-telemetry",
            {"volumes": []},
            "which SensorExampleGen-telemetry would not find",
        ),
        (
            "kubeflow.nodes.SqlExampleGen-observations",
            {"secrets": {}},
            "url_env is 'PLANT_DB_URL', which SqlExampleGen-observations is not given",
        ),
        (
            "sources.telemetry.incremental",
            {},
            "incremental.directory is 'var/days', where SensorExampleGen-telemetry would lose",
        ),
        ("schema", "/mnt/plant/schema.pbtxt", "the image holds the schema beside the code"),
        ("schema", "../schema.pbtxt", "the image holds the schema beside the code"),
        ("kubeflow.nodes.Champion", {"cache": True}, "kubeflow.nodes.Champion.cache is true"),
        ("kubeflow.nodes.VersionPusher", {"cache": True}, "the release record changes without"),
        (
            "kubeflow.nodes.Trainer.env",
            {"PLANT_DB_URL": "sqlite://"},
            "kubeflow.nodes.Trainer.env: sets 'PLANT_DB_URL', which secrets sets too",
        ),
        (
            "kubeflow.nodes.Trainer.volumes",
            [{"claim": "a", "path": "/a"}, {"claim": "a", "path": "/b"}],
            "mounts claim 'a' 2 times",
        ),
        (
            "kubeflow.nodes.Trainer.volumes",
            [{"claim": "a", "path": "/a"}, {"claim": "b", "path": "/a"}],
            "mounts 2 volumes at '/a'",
        ),
        (
            "kubeflow.nodes.Trainer.volumes",
            [{"claim": "a", "path": "/minio/x"}],
            "Kubeflow's launcher uses /minio",
        ),
    ],
)
def test_what_a_cluster_could_not_run(at, value, told):
    assert told in refusal(changed(at, value))


def test_a_file_of_sqlite_must_lie_on_a_volume():
    data = changed("kubeflow.nodes.__default__.secrets", None)
    data["sources"]["observations"]["url"] = "sqlite:///var/demo/plant.db"
    assert "a file that SqlExampleGen-observations would not find" in refusal(data)
    data["sources"]["observations"]["url"] = "duckdb:///var/demo/plant.duckdb"
    assert "a file that SqlExampleGen-observations would not find" in refusal(data)
    for url in ("sqlite:////mnt/plant/plant.db", "postgresql://reader@db/plant"):
        data["sources"]["observations"]["url"] = url
        check_ready(parse_settings(yaml.safe_dump(data)), VALID, "kfp")


def test_a_store_is_given_its_variable_and_an_object_store_needs_no_volume():
    data = changed("kubeflow.nodes.SensorExampleGen-telemetry", {"volumes": []})
    data["sources"]["telemetry"]["path"] = "s3://plant/telemetry/**/*.parquet"
    data["sources"]["inspections"] = {
        "kind": "mongo",
        "url_env": "PLANT_MONGO",
        "collection": "inspections",
        "fields": {"machine_id": "machine.id", "at": "at", "score": "score"},
        "entity": "machine_id",
        "time": "at",
        "windows": [{"size": "7d", "aggregate": {"score": ["max"]}}],
    }
    assert (
        "sources.inspections.url_env is 'PLANT_MONGO', which StoreExampleGen-inspections is not "
        "given: expected it under kubeflow.nodes, as in secrets: {PLANT_MONGO: "
    ) in refusal(data)
    node = {"secrets": {"PLANT_MONGO": {"secret": "plant-mongo", "key": "url"}}}
    data["kubeflow"]["nodes"]["StoreExampleGen-inspections"] = node
    check_ready(parse_settings(yaml.safe_dump(data)), VALID, "kfp")


def test_every_problem_is_told_at_once():
    data = changed("serving.directory", "var/serving")
    data["kubeflow"]["image"] = "plant:1"
    assert "2 problems" in refusal(data)


def test_an_image_may_be_unpinned_for_trying():
    data = changed("kubeflow.image", "plant:1")
    check_ready(parse_settings(yaml.safe_dump(data)), VALID, "kfp", allow_unpinned=True)


def test_vertex_has_no_volumes_nor_secrets_of_kubernetes():
    told = refusal(KUBEFLOW, "vertex")
    assert "kubeflow.nodes.__default__.volumes: Vertex AI has none of Kubernetes' volumes" in told
    assert "kubeflow.nodes.__default__.secrets: Vertex AI has none of Kubernetes' secrets" in told
    assert "expected a bucket of Google Cloud Storage" in told
    assert "such as '/gcs/plant/serving'" in told


def test_vertex_needs_its_own_name_of_an_accelerator():
    data = changed("kubeflow.nodes.Trainer.accelerator", {"type": "nvidia.com/gpu"})
    assert "kubeflow.nodes.Trainer.accelerator.vertex: missing" in refusal(data, "vertex")


def test_what_looks_outside_is_cached_on_demand_only():
    settings = load_settings(VALID / "kubeflow.yaml")
    reads = "SqlExampleGen-observations"
    assert [is_cached(settings, reads, wish) for wish in (None, True, False)] == [
        False,
        True,
        False,
    ]
    assert not is_cached(settings, "Champion", None)
    assert not is_cached(settings, "VersionPusher", True)
    assert is_cached(settings, "Transform", None)
    assert not is_cached(settings, "Transform", False)


@pytest.mark.parametrize(
    ("memory", "amount"),
    [("4Gi", 4.294967296), ("500M", 0.5), ("1.5G", 1.5), ("2Ti", 2199.023255552)],
)
def test_memory_is_counted_in_gigabytes(memory, amount):
    assert gigabytes(memory) == pytest.approx(amount, rel=1e-12)


def test_processors_may_be_parts():
    assert (processors("500m"), processors("2"), processors("1.5")) == (0.5, 2.0, 1.5)


def test_an_accelerator_is_called_as_the_backend_calls_it():
    node = Node.model_validate({"accelerator": {"vertex": "NVIDIA_L4", "count": 2}, "cpu": 1})
    assert resource_spec(node, "kfp")["accelerator"] == {"type": "nvidia.com/gpu", "count": "2"}
    assert resource_spec(node, "vertex")["accelerator"] == {"type": "NVIDIA_L4", "count": "2"}


def test_secrets_of_one_name_are_one_entry():
    node = Node.model_validate(
        {"secrets": {"A": {"secret": "db", "key": "a"}, "B": {"secret": "db", "key": "b"}}}
    )
    (entry,) = executor_config(node)["secretAsEnv"]
    assert [pair["envVar"] for pair in entry["keyToEnv"]] == ["A", "B"]
    assert executor_config(Node()) == {}
