"""The TFJob against the operator's own schema, its pods against Kubernetes', both strictly."""

import copy
import functools
import pathlib

import jsonschema
import kubernetes_validate
import pytest
import yaml

from components.distributed_trainer.launch.tfjob.manifest import label, manifest
from components.distributed_trainer.launch.tfjob.patch import patched
from components.distributed_trainer.settings import TfJobWorkers
from tests.components.distributed_trainer.kubernetes_api import ROOT, tfjob_schema

TRAINING = ROOT / "infra/training"
PATCHES = [TRAINING / "infiniband.yaml", TRAINING / "sockets.yaml"]
# Kubernetes releases: the oldest that the manifests in infra/ are written for, and the newest.
VERSIONS = ["1.32", "1.37"]
SETTINGS = TfJobWorkers.model_validate(
    {
        "count": 4,
        "shared": "/mnt/plant/training",
        "service_account": "training-worker",
        "timeout": "6h",
        "pod": {
            "image": f"registry.example/plant@sha256:{'0' * 64}",
            "cpu": 4,
            "memory": "16Gi",
            "accelerator": {"count": 2},
            "node_selector": {"pool": "gpu"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "volumes": [
                {"claim": "plant", "path": "/mnt/plant"},
                {"claim": "plant", "path": "/cache", "sub_path": "cache"},
            ],
            "env": {"TF_CPP_MIN_LOG_LEVEL": "1"},
            "secrets": {"TOKEN": {"secret": "registry", "key": "token"}},
        },
    }
)


@functools.cache
def validator():
    return jsonschema.Draft202012Validator(tfjob_schema())


def made(patches: tuple[pathlib.Path, ...] = ()):
    return manifest(
        "training-0123456789abcdef",
        {"training-job": "0123456789abcdef"},
        ["python", "-m", "components.distributed_trainer.worker"],
        SETTINGS,
        [yaml.safe_load(path.read_text()) for path in patches],
    )


def check(job) -> None:
    validator().validate(job)
    for replica in job["spec"]["tfReplicaSpecs"].values():
        metadata = {"name": "worker", **replica["template"]["metadata"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        for version in VERSIONS:
            kubernetes_validate.validate(
                {**pod, "spec": replica["template"]["spec"]}, version, strict=True
            )


@pytest.mark.parametrize("patches", [(), *((path,) for path in PATCHES)], ids=str)
def test_what_is_asked_is_valid(patches):
    check(made(patches))


@pytest.mark.parametrize(
    ("place", "key"),
    [
        (("spec",), "successPolcy"),
        (("spec", "runPolicy"), "backOffLimit"),
        (("spec", "tfReplicaSpecs", "Chief"), "restartsPolicy"),
        (("spec", "tfReplicaSpecs", "Worker", "template", "spec"), "nodeSelectors"),
        (("spec", "tfReplicaSpecs", "Worker", "template", "spec", "containers", 0), "resource"),
    ],
)
def test_a_misspelt_key_is_seen(place, key):
    job = copy.deepcopy(made())
    at = job
    for step in place:
        at = at[step]
    at[key] = {}
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(job)


def test_what_settings_say_stands_in_the_pods():
    job = made()
    replicas = job["spec"]["tfReplicaSpecs"]
    assert [replicas[kind]["replicas"] for kind in ("Chief", "Worker")] == [1, 3]
    assert {replica["restartPolicy"] for replica in replicas.values()} == {"Never"}
    assert job["spec"]["runPolicy"] == {
        "cleanPodPolicy": "Running",
        "backoffLimit": 0,
        "activeDeadlineSeconds": 6 * 3600,
        "ttlSecondsAfterFinished": 3600,
    }
    spec = replicas["Worker"]["template"]["spec"]
    (container,) = spec["containers"]
    amounts = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"}
    assert container["resources"] == {"limits": amounts, "requests": amounts}
    assert spec["volumes"] == [{"name": "plant", "persistentVolumeClaim": {"claimName": "plant"}}]
    assert container["volumeMounts"] == [
        {"name": "plant", "mountPath": "/mnt/plant"},
        {"name": "plant", "mountPath": "/cache", "subPath": "cache"},
    ]
    secret = {"secretKeyRef": {"name": "registry", "key": "token"}}
    assert container["env"][1] == {"name": "TOKEN", "valueFrom": secret}
    assert (spec["nodeSelector"], spec["serviceAccountName"]) == (
        {"pool": "gpu"},
        "training-worker",
    )
    assert spec["automountServiceAccountToken"] is False


def test_a_patch_adds_to_what_settings_say():
    (container,) = made((PATCHES[0],))["spec"]["tfReplicaSpecs"]["Chief"]["template"]["spec"][
        "containers"
    ]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert container["resources"]["limits"]["rdma/hca_shared_devices_a"] == 1
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [
        *("/mnt/plant", "/cache", "/dev/shm")
    ]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert (variables["TF_CPP_MIN_LOG_LEVEL"], variables["NCCL_IB_HCA"]) == ("1", "mlx5")


@pytest.mark.parametrize(
    ("value", "change", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": None, "c": {"d": None, "e": 3}}, {"a": 1, "c": {"e": 3}}),
        ([1, 2], [3], [3]),
        (
            [{"name": "a", "value": "1"}, {"name": "b"}],
            [{"name": "a", "value": "2"}, {"name": "c"}],
            [{"name": "a", "value": "2"}, {"name": "b"}, {"name": "c"}],
        ),
        (
            [{"name": "v", "mountPath": "/a"}],
            [{"name": "v", "mountPath": "/b"}],
            [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}],
        ),
        ([{"weight": 1}], [{"weight": 2}], [{"weight": 1}, {"weight": 2}]),
    ],
)
def test_patches_merge_as_kubernetes_does(value, change, merged):
    assert patched(value, change) == merged


def test_a_runs_id_becomes_a_label():
    assert label("projects/7/run:night " + "x" * 80) == f"projects-7-run-night-{'x' * 42}"
    assert label("--") == ""


def test_the_role_binds_an_account_to_rules_that_are_valid():
    documents = list(yaml.safe_load_all((TRAINING / "rbac.yaml").read_text()))
    for document in documents:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    by_kind = {document["kind"]: document for document in documents}
    assert by_kind["RoleBinding"]["roleRef"]["name"] == by_kind["Role"]["metadata"]["name"]
    assert by_kind["ServiceAccount"]["automountServiceAccountToken"] is False
