"""The overlays build, and what they build is valid, consistent and hardened.

Nothing here runs in a cluster: core kinds are checked against Kubernetes' own schemas, custom ones
against the hand-written ones in schemas/.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.infra.conftest import KUBERNETES, Manifest

pytestmark = pytest.mark.services

SCHEMAS = Path(__file__).parent / "schemas"
FOLDERS = ["base", *sorted(f"overlays/{p.name}" for p in (KUBERNETES / "overlays").iterdir())]
# Kubernetes releases: the oldest that these manifests are written for, and the newest with schemas.
VERSIONS = ["1.32", "1.37"]
Build = Callable[[str], list[Manifest]]


@pytest.fixture(params=FOLDERS)
def objects(request: pytest.FixtureRequest, build: Build) -> list[Manifest]:
    return build(request.param)


def of_kind(objects: list[Manifest], *kinds: str) -> list[Manifest]:
    return [o for o in objects if o["kind"] in kinds]


def named(objects: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [o for o in of_kind(objects, kind) if o["metadata"]["name"] == name]
    return found


def pod_labels(objects: list[Manifest]) -> list[dict[str, str]]:
    return [o["spec"]["template"]["metadata"]["labels"] for o in of_kind(objects, "Deployment")]


def check(manifest: Manifest) -> None:
    """Raises where an object breaks its kind's schema, or has none."""
    path = SCHEMAS / f"{manifest['kind']}.json"
    if path.exists():
        jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(manifest)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_every_object_is_valid(objects: list[Manifest]) -> None:
    for manifest in objects:
        check(manifest)


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.json")), ids=lambda p: p.stem)
def test_hand_written_schemas_are_strict_schemas(schema: Path) -> None:
    content = json.loads(schema.read_text())
    jsonschema.Draft202012Validator.check_schema(content)

    def objects_in(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if "properties" in node:
                yield node
            node = list(node.values())
        if isinstance(node, list):
            for value in node:
                yield from objects_in(value)

    assert all(node["additionalProperties"] is False for node in objects_in(content))


@pytest.mark.parametrize(
    ("kind", "path", "key"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0), "readynessProbe"),
        ("HorizontalPodAutoscaler", ("spec",), "minReplica"),
        ("NetworkPolicy", ("spec",), "egres"),
        ("HTTPRoute", ("spec", "rules", 0, "backendRefs", 0), "wieght"),
        ("Rollout", ("spec", "strategy", "canary"), "maxSurplus"),
        ("AnalysisTemplate", ("spec", "metrics", 0), "succesCondition"),
    ],
)
def test_a_misspelt_key_is_seen(
    build: Build, kind: str, path: tuple[str | int, ...], key: str
) -> None:
    manifest = copy.deepcopy(of_kind(build("overlays/argo-rollouts"), kind)[0])
    check(manifest)
    place: Any = manifest
    for step in path:
        place = place[step]
    place[key] = 1
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(manifest)


def test_selectors_select_pods(objects: list[Manifest]) -> None:
    for manifest in of_kind(
        objects, "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment"
    ):
        spec = manifest["spec"]
        selector = spec.get("selector", spec.get("podSelector"))
        selector = selector.get("matchLabels", selector)
        assert selector, manifest["metadata"]
        assert any(selector.items() <= labels.items() for labels in pod_labels(objects))
    for template in (d["spec"]["template"] for d in of_kind(objects, "Deployment")):
        for constraint in template["spec"]["topologySpreadConstraints"]:
            selector = constraint["labelSelector"]["matchLabels"]
            assert selector["track"] == template["metadata"]["labels"]["track"]
            assert selector.items() <= template["metadata"]["labels"].items()
    for budget in of_kind(objects, "PodDisruptionBudget"):
        track = budget["metadata"]["labels"]["track"]
        assert budget["spec"]["selector"]["matchLabels"]["track"] == track


def test_each_track_is_selected_by_its_own_service(build: Build) -> None:
    objects = build("base")
    for track in ("stable", "canary"):
        selector = named(objects, "Service", f"serving-{track}")["spec"]["selector"]
        chosen = [labels for labels in pod_labels(objects) if selector.items() <= labels.items()]
        assert [labels["track"] for labels in chosen] == [track]


def test_service_ports_exist_in_the_pods(objects: list[Manifest]) -> None:
    for service in of_kind(objects, "Service"):
        for deployment in of_kind(objects, "Deployment"):
            container = deployment["spec"]["template"]["spec"]["containers"][0]
            ports = {p["name"]: p["containerPort"] for p in container["ports"]}
            for port in service["spec"]["ports"]:
                assert ports[port["targetPort"]] == port["port"]


def test_routes_lead_to_ports_of_services(objects: list[Manifest]) -> None:
    ports = {
        s["metadata"]["name"]: {p["port"] for p in s["spec"]["ports"]}
        for s in of_kind(objects, "Service")
    }
    for route in of_kind(objects, "HTTPRoute", "GRPCRoute"):
        for rule in route["spec"]["rules"]:
            assert sum(b["weight"] for b in rule["backendRefs"]) == 100
            for backend in rule["backendRefs"]:
                assert backend["port"] in ports[backend["name"]]
    for service in of_kind(objects, "VirtualService"):
        assert set(service["spec"]["hosts"]) <= set(ports)
        for rule in service["spec"]["http"]:
            assert sum(r["weight"] for r in rule["route"]) == 100
            for destination in (r["destination"] for r in rule["route"]):
                assert destination["port"]["number"] in ports[destination["host"]]
    for rule in of_kind(objects, "DestinationRule"):
        assert rule["spec"]["host"] in ports


def test_references_lead_to_objects(objects: list[Manifest]) -> None:
    there = {(o["kind"], o["metadata"]["name"]) for o in objects}
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in there
    for rollout in of_kind(objects, "Rollout"):
        canary = rollout["spec"]["strategy"]["canary"]
        plugin = canary["trafficRouting"]["plugins"]["argoproj-labs/gatewayAPI"]
        assert (rollout["spec"]["workloadRef"]["kind"], "serving-stable") in there
        assert ("Service", canary["stableService"]) in there
        assert ("Service", canary["canaryService"]) in there
        assert all(("HTTPRoute", r["name"]) in there for r in plugin["httpRoutes"])
        assert all(("GRPCRoute", r["name"]) in there for r in plugin["grpcRoutes"])
        analyses = [s["analysis"] for s in canary["steps"] if "analysis" in s]
        assert [s["setWeight"] for s in canary["steps"] if "setWeight" in s] == [1, 10, 50]
        assert len(analyses) == 3
        for analysis in analyses:
            (template,) = analysis["templates"]
            assert ("AnalysisTemplate", template["templateName"]) in there
    for pod in (d["spec"]["template"]["spec"] for d in of_kind(objects, "Deployment")):
        assert ("ServiceAccount", pod["serviceAccountName"]) in there
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in there
        mounted = {m["name"] for m in pod["containers"][0]["volumeMounts"]}
        assert mounted == {v["name"] for v in pod["volumes"]}


def test_files_that_arguments_name_are_mounted(objects: list[Manifest]) -> None:
    for pod in (d["spec"]["template"]["spec"] for d in of_kind(objects, "Deployment")):
        container = pod["containers"][0]
        probes = [container[p]["exec"]["command"][1] for p in ("startupProbe", "readinessProbe")]
        named_files = [a.split("=")[1] for a in container["args"] if "=/etc/" in a] + probes
        maps = {v["name"]: v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v}
        files = {}
        for mount in container["volumeMounts"]:
            if mount["name"] in maps:
                data = named(objects, "ConfigMap", maps[mount["name"]])["data"]
                if "subPath" in mount:
                    files[mount["mountPath"]] = data[mount["subPath"]]
                else:
                    files |= {f"{mount['mountPath']}/{name}": text for name, text in data.items()}
        assert set(named_files) == set(files)


def test_pods_are_hardened(objects: list[Manifest]) -> None:
    for pod in (d["spec"]["template"]["spec"] for d in of_kind(objects, "Deployment")):
        context = pod["securityContext"]
        assert pod["automountServiceAccountToken"] is False
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for mount in container["volumeMounts"]:
                assert mount["mountPath"] == "/tmp" or mount["readOnly"]
            for resource in ("cpu", "memory", "ephemeral-storage"):
                wanted = amount(container["resources"]["requests"][resource])
                assert 0 < wanted <= amount(container["resources"]["limits"][resource])


def amount(quantity: str) -> float:
    """A Kubernetes quantity as a number."""
    match = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi)?", quantity)
    assert match, quantity
    number, unit = match.groups()
    return float(number) * {None: 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]


def test_images_are_pinned(objects: list[Manifest]) -> None:
    for pod in (d["spec"]["template"]["spec"] for d in of_kind(objects, "Deployment")):
        for container in pod["containers"]:
            assert re.fullmatch(
                r"[a-z/]+:[0-9]+\.[0-9]+\.[0-9]+(@sha256:[0-9a-f]{64})?", container["image"]
            )


def test_a_pod_drains_before_it_is_killed(objects: list[Manifest]) -> None:
    for pod in (d["spec"]["template"]["spec"] for d in of_kind(objects, "Deployment")):
        (container,) = pod["containers"]
        wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        readiness = container["readinessProbe"]
        assert readiness["periodSeconds"] * readiness["failureThreshold"] < wait
        assert wait + 5 <= pod["terminationGracePeriodSeconds"]


def test_another_version_rolls_the_pods(build: Build) -> None:
    """The config's content is in its name, so that a pod never changes its version in place."""
    for track in ("stable", "canary"):
        pod = named(build("base"), "Deployment", f"serving-{track}")["spec"]["template"]["spec"]
        (models,) = [v for v in pod["volumes"] if v["name"] == "models"]
        assert re.fullmatch(f"models-{track}-[a-z0-9]{{10}}", models["configMap"]["name"])
        assert "--file_system_poll_wait_seconds=0" in pod["containers"][0]["args"]


def test_blue_green_switches_both_services_by_one_line(build: Build) -> None:
    objects = build("overlays/blue-green")
    for name in ("serving", "serving-headless"):
        assert named(objects, "Service", name)["spec"]["selector"]["track"] == "stable"
    sizes = {
        h["metadata"]["name"]: h["spec"]["minReplicas"]
        for h in of_kind(objects, "HorizontalPodAutoscaler")
    }
    assert sizes["serving-stable"] == sizes["serving-canary"]


def test_a_rollout_has_one_set_of_pods(build: Build) -> None:
    objects = build("overlays/argo-rollouts")
    assert [d["metadata"]["name"] for d in of_kind(objects, "Deployment")] == ["serving-stable"]
    (scaler,) = of_kind(objects, "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["kind"] == "Rollout"
