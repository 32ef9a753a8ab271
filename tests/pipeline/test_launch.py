"""What Trainer is told of its workers, and what of it a cluster would not have."""

import pathlib
from typing import Any

import pytest
import yaml

from components.distributed_trainer.settings import LAUNCH, Launch
from pipeline import launch
from pipeline.kubeflow.readiness import check_ready
from pipeline.settings import SettingsError, load_settings, parse_settings

VALID = pathlib.Path("tests/settings/valid")
SOCKETS = pathlib.Path("infra/training/sockets.yaml")
VERTEX = {"launcher": "vertex", "shared": "/gcs/plant/training"}


def told(settings) -> Launch:
    return Launch.model_validate_json(launch.environment(settings)[LAUNCH])


def with_workers(example: str, workers: dict[str, Any] | None, **nodes: Any):
    data = yaml.safe_load((VALID / example).read_text())
    if workers is not None:
        data["training"] = {"strategy": "multi_worker", "workers": workers}
    data["kubeflow"]["nodes"] |= nodes
    return parse_settings(yaml.safe_dump(data))


def test_pods_have_trainers_image_and_the_runs_namespace():
    settings = load_settings(VALID / "tfjob.yaml")
    launched = told(settings)
    assert launched.directory == "/mnt/plant/training"
    assert launched.workers.pod.image == settings.kubeflow.node("Trainer").image
    assert launched.workers.namespace == "plant"
    assert launched.workers.pod.memory == "32Gi"
    assert not launched.patches
    patched = with_workers("tfjob.yaml", {**TFJOB, "patches": [str(SOCKETS)]})
    assert told(patched).patches == [yaml.safe_load(SOCKETS.read_text())]


def test_machines_have_what_kubeflow_says_unless_workers_say_otherwise():
    launched = told(with_workers("vertex.yaml", {**VERTEX, "region": "us-central1"})).workers
    assert (launched.project, launched.region) == ("plant", "us-central1")
    assert launched.image.startswith("europe-west4-docker.pkg.dev/plant/pipeline/plant@sha256:")
    assert launched.service_account == "pipeline@plant.iam.gserviceaccount.com"


def test_what_runs_on_a_cluster_is_ready():
    check_ready(load_settings(VALID / "tfjob.yaml"), VALID, "kfp")
    check_ready(with_workers("vertex.yaml", VERTEX), VALID, "vertex")
    check_ready(with_workers("vertex.yaml", {"count": 2}), VALID, "vertex")


TFJOB = {
    "launcher": "tfjob",
    "shared": "/mnt/plant/training",
    "pod": {"volumes": [{"claim": "plant", "path": "/mnt/plant"}]},
}


@pytest.mark.parametrize(
    ("example", "backend", "workers", "nodes", "words"),
    [
        (
            "tfjob.yaml",
            "kfp",
            {**TFJOB, "pod": {}},
            {},
            "training.workers.shared is '/mnt/plant/training', which the workers would not find",
        ),
        (
            "tfjob.yaml",
            "kfp",
            TFJOB,
            {"Trainer": {"volumes": []}},
            "training.workers.shared is '/mnt/plant/training', which Trainer would not find",
        ),
        (
            "tfjob.yaml",
            "kfp",
            TFJOB,
            {"Trainer": {"volumes": [{"claim": "other", "path": "/mnt/plant"}]}},
            "which is on claim 'other' at '/mnt/plant' for Trainer and on 'plant'",
        ),
        (
            "tfjob.yaml",
            "kfp",
            {**TFJOB, "pod": {**TFJOB["pod"], "image": "plant:1"}},
            {},
            "training.workers.pod.image is 'plant:1': expected an image pinned by digest",
        ),
        (
            "tfjob.yaml",
            "kfp",
            {**VERTEX, "project": "plant", "region": "europe-west4"},
            {},
            "training.workers.shared is '/gcs/plant/training', which Trainer would not find on",
        ),
        (
            "vertex.yaml",
            "vertex",
            TFJOB,
            {},
            "training.workers.launcher is 'tfjob', and Vertex AI has no Kubernetes",
        ),
        (
            "vertex.yaml",
            "vertex",
            {**VERTEX, "image": "plant:1"},
            {},
            "training.workers.image is 'plant:1': expected an image pinned by digest",
        ),
    ],
)
def test_workers_that_a_cluster_would_not_have_are_refused(example, backend, workers, nodes, words):
    settings = with_workers(example, workers, **nodes)
    with pytest.raises(SettingsError) as caught:
        check_ready(settings, pathlib.Path("settings.yaml"), backend)
    assert words in str(caught.value)
